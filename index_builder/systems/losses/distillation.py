"""Stage 2 of MSK-PT: a student that sees films only learns from a teacher that read the reports too.

`feature_distillation` copies the teacher's vector of the same case, `class_text_distillation` what the reports of a
class say of the classes next to it, for films without a report; `weak_strong` needs neither teacher nor label, only two
views of a film.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from index_builder.systems.losses.numerics import full_precision, mean_or_zero


@full_precision
def feature_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """‖s - t‖² + (1 - cos(s, t)), mean over cases.

    Feature matching after FitNets (Romero et al., ICLR 2015). For unit vectors the first is twice the second.

    Args:
        student: [B, D].
        teacher: [B, D] of the same cases; takes no gradient.
    """
    teacher = teacher.detach()
    distance = (student - teacher).square().sum(1)
    return mean_or_zero(distance + 1 - functional.cosine_similarity(student, teacher))


@full_precision
@torch.no_grad()
def class_text_targets(labels: Tensor, text_class_means: Tensor, temperature: float) -> Tensor:
    """How near the texts of each case's class are to those of every class: softmax_c(cos(m_y, m_c)/τ).

    Neighbouring stages read alike, so a film of stage 2 is told to lie nearer to stages 1 and 3 than to 0.

    Args:
        labels: [B] int64, class y, 0 to C - 1.
        text_class_means: [C, D], mean text vector m of each class; zeros where a class has no text.
        temperature: τ > 0.

    Returns:
        [B, C], rows sum to 1, without gradient.
    """
    means = functional.normalize(text_class_means, dim=-1)
    return functional.softmax(means[labels] @ means.T / temperature, 1)


@full_precision
def class_text_distillation(student: Tensor, labels: Tensor, text_class_means: Tensor, temperature: float) -> Tensor:
    """KL from `class_text_targets` to softmax_c(cos(s, m_c)/τ) of the student's vector, mean over cases of known class.

    Args:
        student: [B, D].
        labels: [B] int64, class, -1 where unknown.
        text_class_means: [C, D]; takes no gradient.
        temperature: τ > 0 of both softmaxes.
    """
    held = labels >= 0
    means = functional.normalize(text_class_means.detach(), dim=-1)
    wanted = class_text_targets(labels[held], means, temperature)
    found = functional.log_softmax(functional.normalize(student[held], dim=-1) @ means.T / temperature, 1)
    return mean_or_zero(functional.kl_div(found, wanted, reduction="none").sum(1))


@full_precision
def weak_strong(weak_logits: Tensor, strong_logits: Tensor, theta: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of strong views with the class of their weak view where that is certain, over all B cases.

    Sohn et al., "FixMatch", NeurIPS 2020: dividing by B, not by the cases used, lets the term grow as the model learns.

    Args:
        weak_logits: [B, C] of the weakly augmented films; takes no gradient.
        strong_logits: [B, C] of the same films strongly augmented.
        theta: A case is used where u = 1 - max_c p_c of its weak view is under θ.

    Returns:
        The loss, and the share of cases used, 0 to 1, without gradient.
    """
    certainty, label = weak_logits.detach().softmax(1).max(1)
    used = (1 - certainty < theta).to(strong_logits.dtype)
    losses = functional.cross_entropy(strong_logits, label, reduction="none")
    return mean_or_zero(losses * used), mean_or_zero(used)
