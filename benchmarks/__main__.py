"""Runs the benchmarks behind the README's figures, one after the other: python -m benchmarks [NAME ...]"""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = {
    "accuracy": ["benchmarks.against_logistic_regression", "--plan", "movie-reviews"],
    "fine-tuning": ["benchmarks.against_logistic_regression", "--plan", "seed-bert-text"],
    "gate": ["benchmarks.gate_simulation"],
    "gate-life": ["benchmarks.gate_life"],
    "gate-years": ["benchmarks.gate_years"],
    "canary": ["benchmarks.canary_simulation"],
    "canary-look": ["benchmarks.canary_look"],
    "proof": ["benchmarks.proof_simulation"],
    "proof-replay": ["benchmarks.proof_replay"],
    "drill": ["benchmarks.drill_judges"],
    "class-rise": ["benchmarks.class_rise"],
    "zero-examples": ["benchmarks.zero_examples"],
    "explanations": ["benchmarks.explanations"],
    "numbers": ["benchmarks.numbers"],
    "stream-shift": ["benchmarks.stream_shift"],
    "stream-memory": ["benchmarks.stream_memory"],
    "memory": ["benchmarks.stream_million_rows"],
    "prefix": ["benchmarks.prefix_cache"],
    "prefix-memory": ["benchmarks.prefix_memory"],
    "full-training": ["benchmarks.full_training"],
    "same-losses": ["benchmarks.same_losses"],
    "methods": ["benchmarks.adaptation_methods"],
    "calibration": ["benchmarks.calibration"],
    "many-classes": ["benchmarks.many_classes"],
    "abstain": ["benchmarks.abstain"],
    "abstain-starts": ["benchmarks.abstain_starts"],
    "costs": ["benchmarks.costs"],
    "rivals": ["benchmarks.rivals"],
    "unknown-inputs": ["benchmarks.unknown_inputs"],
    "ask": ["benchmarks.ask"],
    "masked-language": ["benchmarks.masked_language"],
    "banking77": ["benchmarks.remembering", "banking77"],
    "sentiment": ["benchmarks.remembering", "sentiment"],
    "quality": ["benchmarks.remembering", "quality"],
    "schedules-domains": ["benchmarks.remembering", "schedules-domains", "--seeds", "1", "2", "3", "4", "5"],
    "schedules-ramp": ["benchmarks.remembering", "schedules-ramp", "--seeds", "1", "2", "3", "4", "5"],
    "images-cache": ["benchmarks.images", "cache"],
    "images-transfer": ["benchmarks.images", "transfer"],
    "schedules-digits": ["benchmarks.remembering", "schedules-digits", "--seeds", "1", "2", "3", "4", "5"],
    "sweeps-head": ["benchmarks.sweeps", "head"],
    "sweeps-stage": ["benchmarks.sweeps", "stage"],
    "release-latency": ["benchmarks.release_latency"],
    "serving": ["benchmarks.serving"],
    "scoring": ["benchmarks.scoring"],
    "scoring-memory": ["benchmarks.scoring", "--million"],
    "kills": ["benchmarks.kill_and_resume", "--plan", "movie-reviews"],
}


def main() -> None:
    """Runs those that are named, all by default; stops at the first that fails."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}; known: {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"== {name}: python -m {' '.join(BENCHMARKS[name])}", flush=True)
        subprocess.run([sys.executable, "-m", *BENCHMARKS[name]], check=True)


if __name__ == "__main__":
    main()
