"""Synthetic chest radiographs drawn from a parametric chest, in two cohorts.

film = render(ChestSpec(findings=(Finding("effusion", side="left", severity=0.6),)), seed=7)
film.pixels, film.masks["effusion"]
"""

from index_builder.datasets.phantom.dust_cohort import PhantomDust
from index_builder.datasets.phantom.openi_cohort import PhantomOpenI
from index_builder.datasets.phantom.render import render
from index_builder.datasets.phantom.spec import FINDINGS, SITES, ChestSpec, Finding, PhantomFilm

__all__ = ["FINDINGS", "SITES", "ChestSpec", "Finding", "PhantomDust", "PhantomFilm", "PhantomOpenI", "render"]
