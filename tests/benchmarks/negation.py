"""The parser's negation beside NegEx (negspacy) and ConText (medspaCy), on the same mentions of findings.

    python tests/benchmarks/negation.py write FILE            in the project's environment
    python tests/benchmarks/negation.py compare FILE          where spacy, negspacy and medspacy are installed

`write` notes every finding that is named outright (not those implied by "heart size is normal") with its sentence and
the parser's status: of the English labelled sentences of the tests, and of the coded Open-i reports of the test
part. `compare` gives the same mentions as entities to the two others, with their default rules. Two questions:
labelled sentences: is the status right? Reports: is a finding that coders coded left standing in at least one
mention, and one that they did not code denied in all? The libraries need spaCy (50 packages), so the project does
not depend on them.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def write(target: Path) -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent / "index_builder" / "facts")]
    from labelled import labelled_sentences
    from report_facts import SKIPPED, TERMS, coded_name, fact_of_code, related

    from index_builder.cases.labels import parse_mesh
    from index_builder.datasets.published.openi import OpenI
    from index_builder.facts.lexicon import words_of
    from index_builder.facts.parse import read_facts

    def folded(text: str) -> str:
        return " ".join(token.text for token in words_of(text))

    named = {name: {folded(word) for word in term.words} for name, term in TERMS.findings.items()}

    def mentions(sentence: str) -> list[dict[str, Any]]:
        return [
            {"sentence": sentence, "start": fact.start, "end": fact.end, "finding": fact.finding, "own": fact.status}
            for fact in read_facts(sentence)
            if fact.finding != "normal" and folded(sentence[fact.start : fact.end]) in named[fact.finding]
        ]

    told: list[dict[str, Any]] = []
    for sentence, facts in labelled_sentences():
        status = {fact.finding: fact.status for fact in facts}
        told += [
            {**one, "gold": status[one["finding"]]}
            for one in mentions(sentence)
            if one["finding"] in status
            and sentence.isascii()
            and not re.search(r"\b(?:derrame|base derecha)\b", sentence)
        ]
    reports: list[dict[str, Any]] = []
    for case in OpenI().cases():
        if case.split != "test" or not case.codes or any(code.lower() == "no indexing" for code in case.codes):
            continue
        kept = [code for code in case.codes if parse_mesh(code).heading.lower() not in SKIPPED]
        coded = {fact.finding for code in kept if (fact := fact_of_code(code)) is not None}
        text = ". ".join(case.sections.get(name, "") for name in ("findings", "impression"))
        for sentence in re.split(r"(?<=[.;?!])\s+", text):
            for one in mentions(sentence):
                name = coded_name(one["finding"])
                reports.append(
                    {**one, "pair": f"{case.case_id} {name}", "gold": any(related(name, two) for two in coded)}
                )
    target.write_text(json.dumps({"labelled": told, "reports": reports}), "utf-8")
    print(f"{len(told)} labelled mentions, {len(reports)} mentions in reports")


def compare(source: Path) -> None:
    import spacy
    from medspacy.context import ConText  # noqa: F401  registers "medspacy_context"
    from negspacy.negation import Negex  # noqa: F401  registers "negex"
    from spacy.tokens import Span

    content = json.loads(source.read_text("utf-8"))
    for name in ("negex", "medspacy_context"):
        nlp = spacy.blank("en")
        nlp.add_pipe("sentencizer")
        pipe = nlp.add_pipe(name)
        for one in (*content["labelled"], *content["reports"]):
            doc = nlp.make_doc(one["sentence"])
            span = doc.char_span(one["start"], one["end"], label="FINDING", alignment_mode="expand")
            assert isinstance(span, Span)
            doc.ents = [span]
            doc = nlp.get_pipe("sentencizer")(doc)
            entity = pipe(doc).ents[0]
            if name == "negex":
                one[name] = "absent" if entity._.negex else "present"
            else:
                doubted = entity._.is_uncertain or entity._.is_hypothetical
                one[name] = "absent" if entity._.is_negated else "uncertain" if doubted else "present"
    print("| rules | labelled: denied or not | labelled: status | reports: coded kept | reports: uncoded denied |")
    print("|---|---:|---:|---:|---:|")
    for name in ("own", "negex", "medspacy_context"):
        told = content["labelled"]
        denied = sum((one[name] == "absent") == (one["gold"] == "absent") for one in told)
        status = sum(one[name] == one["gold"] for one in told)
        standing: dict[tuple[str, bool], bool] = defaultdict(bool)
        for one in content["reports"]:
            standing[one["pair"], one["gold"]] |= one[name] != "absent"
        kept = [stands for (_, gold), stands in standing.items() if gold]
        wrong = [stands for (_, gold), stands in standing.items() if not gold]
        print(
            f"| {name} | {denied / len(told):.3f} ({denied}/{len(told)}) | {status / len(told):.3f} | "
            f"{sum(kept) / len(kept):.3f} ({sum(kept)}/{len(kept)}) | "
            f"{1 - sum(wrong) / len(wrong):.3f} ({len(wrong) - sum(wrong)}/{len(wrong)}) |"
        )


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](Path(sys.argv[2]))
