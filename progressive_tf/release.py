"""`python -m progressive_tf.release`: versions, aliases and their history."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from progressive_tf.commands import Verbose, need_extra, run_command
from progressive_tf.disk import refuse_unwritable
from progressive_tf.errors import InputError
from progressive_tf.logs import set_up_logging
from progressive_tf.output import console, only_prints, print_json, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from progressive_tf.registry import ModelVersions, Registry
    from progressive_tf.registry.traffic import Traffic

app = typer.Typer(
    help="List, show, promote, try on some callers, roll back and verify the released versions.",
    no_args_is_help=True,
    add_completion=False,
)

RegistryFolder = Annotated[Path, typer.Option("--registry", metavar="DIR", help="The registry's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; it stands in the journal.")]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, which is its plan's name.")]
StoreFolder = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="The server's store, which counts the canary's answers.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="An Ed25519 private key that signs it; or PROGRESSIVE_TF_KEY names it."),
]
DEFAULT_REGISTRY, DEFAULT_STORE = Path("registry"), Path("serving")


class Alias(str, Enum):
    """What can be taken back."""

    STABLE = "stable"
    CANARY = "canary"
    SHADOW = "shadow"


@app.command("list")
def list_versions(
    registry: RegistryFolder = DEFAULT_REGISTRY,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """List every version of every model, and how the canaries stand."""
    from progressive_tf.registry.tables import version_record, versions_table

    models = _open(registry).models()
    only_prints()
    records = [version_record(version) for model in models for version in _settled(model).versions()]
    if as_json:
        print_json(records)
    elif records:
        _print(versions_table(records))
        for model in models:
            _print_canary(model, store, lines=2)
    else:
        _print(f"no versions in {registry}")


@app.command()
def show(
    name: ModelName,
    number: Annotated[
        int | None, typer.Argument(metavar="[N]", help="The version; by default the stable one, else the newest.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also metrics of each class, all labels, and each step of the journal.")
    ] = False,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show a version: where it comes from, its metrics, the decision with its rules, and history."""
    from dataclasses import asdict

    from rich.console import Group

    from progressive_tf.registry.tables import version_details, version_record, version_tables
    from progressive_tf.registry.traffic import Traffic

    only_prints()
    model = _settled(_open(registry).existing_model(name))
    version = model.in_use() if number is None else model.version(number)
    # Without a number the question is about the model: its whole history.
    entries = [
        entry for entry in model.entries() if number is None or entry.token == version.token or entry.version == number
    ]
    manifest = version.manifest()
    rollout = Traffic(model).rollout()
    if as_json:
        from progressive_tf.registry.history import released_by
        from progressive_tf.serving.canary_evidence import read_evidence

        details: dict[str, Any] = {"manifest": manifest, "lineage": model.lineage(version.number)}
        details["rollout"] = None if rollout is None else asdict(rollout)
        evidence = read_evidence(Traffic(model), store)
        details["evidence"] = None if evidence is None else asdict(evidence)
        details["stable_by"] = released_by(model.entries(), version.number)
        print_json(version_record(version) | details | {"history": [asdict(entry) for entry in entries]})
        return
    _print(version_details(model, version, everything))
    _print_canary(model, store)
    for shown in version_tables(manifest, entries, everything):
        _print(shown if isinstance(shown, str) else Group("", shown))


@app.command()
def promote(
    stage: Annotated[Path, typer.Argument(metavar="RUN/STAGE", help="A run's folder and the name of its stage.")],
    force: Annotated[bool, typer.Option("--force", help="Overrule the gate.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; with --force. It stands in the journal.")] = "",
    registry: RegistryFolder = DEFAULT_REGISTRY,
    key: KeyFile = None,
    verbose: Verbose = False,
) -> None:
    """Promote a stage that the gate held or rejected."""
    from progressive_tf.registry import Forced
    from progressive_tf.registry.stage_to_promote import describe_refusal, read_stage

    asked = read_stage(stage)
    run, name = asked.run_folder.name, asked.stage
    if force and not reason.strip():
        raise InputError('--force needs --reason "…": why the gate is overruled; it stands in the journal')
    if reason.strip() and not force:
        say("no effect: --reason without --force; a promotion by the gate has the gate's reason")
    forced = Forced(reason.strip()) if force else None
    model = _settled(_open(registry, key).model(asked.model))
    version = model.version_of_stage(run, name)
    if version is not None:
        stable = model.aliases().get("stable")
        already = f"stage {name!r} is already {model.name} version {version.number}"
        if stable == version.number:
            _print(f"{already}, and stable points to it")
            return
        if forced is None:
            points = "nothing" if stable is None else f"version {stable}"
            raise InputError(f'{already}; stable points to {points}. To move it give --force and --reason "…"')
        version = model.make_stable(version.number, forced)
        _print(f"{already}; stable points to it again")
        return
    if forced is None and not asked.decision.promoted:
        raise InputError(f'{describe_refusal(asked)}\nTo promote it all the same give --force and --reason "…"')
    # The only command here that needs TensorFlow, to build the SavedModel.
    set_up_logging(verbose)
    from progressive_tf.training.stage.promotion import export_stage

    staged = export_stage(asked.run_folder, name)
    compared = None if forced else {None, staged.parent}
    version = model.publish(staged, when_stable_in=compared, forced=forced)
    points = "stable points to it" if "stable" in version.aliases else "stable was taken back meanwhile, and stays"
    _print(f"stage {name!r} is {model.name} version {version.number}; {points}")


@app.command()
def canary(
    name: ModelName,
    number: Annotated[int, typer.Argument(metavar="N", help="The version to try.")],
    percent: Annotated[
        float | None,
        typer.Option(metavar="P", help="Of the callers; by default the first of its plan's release.steps."),
    ] = None,
    reason: Reason = None,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    key: KeyFile = None,
    verbose: Verbose = False,
) -> None:
    """Send part of the callers to a version; the same callers for as long as it lasts."""
    traffic = _traffic(registry, name, key)
    started = traffic.start_canary(number, percent, reason)
    _print(f"{name}: version {started.version} answers {started.percent:g} % of the callers")
    if traffic.schedule() is None:
        _print(
            f"its plan has no release.steps, so that you decide on it; `release show {name}` says what is known of it"
        )


@app.command()
def widen(
    name: ModelName,
    percent: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Of the callers; 100 makes it stable. By default where it was before a pause, or else the next of its "
            "plan's release.steps, if it has given enough answers.",
        ),
    ] = None,
    reason: Reason = None,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    key: KeyFile = None,
    store: StoreFolder = DEFAULT_STORE,
    verbose: Verbose = False,
) -> None:
    """Send more callers to the canary; those who were sent to it stay."""
    from progressive_tf.serving.canary_evidence import counted_now

    traffic = _traffic(registry, name, key)
    now = traffic.widen(percent, reason, *counted_now(traffic, store))
    if now is None:
        _print(f"{name}: the canary is stable now: version {traffic.model.aliases()['stable']}")
    else:
        _print(f"{name}: version {now.version} answers {now.percent:g} % of the callers")


@app.command()
def pause(
    name: ModelName,
    reason: Reason = None,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    key: KeyFile = None,
    verbose: Verbose = False,
) -> None:
    """Send nobody to the canary until it is widened again."""
    now = _traffic(registry, name, key).pause(reason)
    _print(f"{name}: version {now.version} is paused at {now.percent:g} %; everybody is answered by stable")


@app.command()
def shadow(
    name: ModelName,
    number: Annotated[int, typer.Argument(metavar="N", help="The version to watch.")],
    reason: Reason = None,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    key: KeyFile = None,
    verbose: Verbose = False,
) -> None:
    """Let a version answer every request in the background, and no caller."""
    _traffic(registry, name, key).start_shadow(number, reason)
    _print(f"{name}: version {number} answers in the background")


@app.command()
def rollback(
    name: ModelName,
    alias: Annotated[
        Alias | None, typer.Option("--alias", help="What to take back; by default the canary if there is one.")
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="The version to take back; nothing is done where it is taken back already, or another is there.",
        ),
    ] = None,
    reason: Reason = None,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    key: KeyFile = None,
    verbose: Verbose = False,
) -> None:
    """Take back the canary, or else stable: to previous, which becomes what was stable before that.

    No version is deleted. It waits for nobody, not for a version that is being exported either: that one becomes a
    version without an alias. `--version N` makes it safe to say the same again.
    """
    from progressive_tf.registry.traffic import Traffic

    model = _open(registry, key).existing_model(name)
    done = Traffic(model).roll_back(None if alias is None else alias.value, reason, version)
    if done.now is None:
        _print(f"{name}: version {done.version} is no {done.alias} any more")
    else:
        previous = model.aliases().get("previous", "none")
        _print(f"{name}: stable {done.version} → {done.now}, previous {previous}")


@app.command()
def export(
    name: ModelName,
    number: Annotated[int, typer.Argument(metavar="N", help="The version.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="A folder that is new or empty.")],
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Where DIR will be copied to, as KServe names it, e.g. s3://bucket/reviews-3; a place of its own for "
            "each version.",
        ),
    ] = None,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    verbose: Verbose = False,
) -> None:
    """Write a version for TensorFlow Serving and KServe, with warm-up requests and both servers' configs."""
    model = _settled(_open(registry).existing_model(name))
    model.version(number)
    need_extra("serve", "tensorflow_serving")
    refuse_unwritable(to, "--to")
    set_up_logging(verbose)
    from progressive_tf.serving.export import export_version

    for path in export_version(model, number, to, storage):
        _print(str(path))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model; all by default.")] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Public keys that are trusted: verify that they have signed everything too; or "
            "PROGRESSIVE_TF_TRUSTED_KEY names them.",
        ),
    ] = None,
    remember: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --key, of one NAME: keeps there how far it is signed, and refuses an older state the next time.",
        ),
    ] = None,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    verbose: Verbose = False,
) -> None:
    """Compare every file of every version with its hash, and with --key who has signed it; exit code 1 if anything
    differs.
    """
    from progressive_tf.registry.tables import damage_table, signed_line

    opened = _open(registry, None, key, remember)
    if remember is not None and (name is None or not opened.keys.verifies):
        raise InputError("--remember: for one NAME, and with --key, which says whose signatures count")
    models = opened.models() if name is None else (opened.existing_model(name),)
    damages = [(model.name, damage) for model in models for damage in _settled(model).verify()]
    if damages:
        _print(damage_table(damages))
    else:
        _print(f"versions checked: {sum(len(model.versions()) for model in models)}, damaged: none")
    signed = [(model, model.files.signed()) for model in models]
    for model, of_model in signed:
        for line in signed_line(model, of_model):
            _print(line)
    if damages or any(of_model.unsigned for _, of_model in signed):
        raise typer.Exit(1)


@app.command()
def sign(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models, by the names of their plans.")],
    key: KeyFile = None,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew",
            help="Drop the signatures that are there, whatever they say: of a model that was renamed, or after damage "
            "that you have looked into.",
        ),
    ] = False,
    registry: RegistryFolder = DEFAULT_REGISTRY,
    verbose: Verbose = False,
) -> None:
    """Sign all that a model's registry holds, versions and moves of aliases, and show what was not signed before.

    A registry that was never signed is signed as a whole, with its history. You vouch for what is shown.
    """
    from progressive_tf.registry.keys import fingerprint
    from progressive_tf.registry.tables import history_table

    opened = _open(registry, key)
    if opened.keys.own is None:
        raise InputError(
            "--key FILE: a private key to sign with expected; `openssl genpkey -algorithm ed25519 -out FILE` makes one"
        )
    for model in [opened.existing_model(name) for name in names]:
        new = model.sign(anew=anew)
        if new:
            _print(history_table(new))
        total = len(model.entries())
        _print(
            f"{model.name}: signed by {fingerprint(opened.keys.own.public)}: {len(new)} entries that were not, "
            f"{total} in all, with {len(model.versions())} versions"
        )


def _open(folder: Path, key: Path | None = None, trusted: Path | None = None, seen: Path | None = None) -> Registry:
    from progressive_tf.registry import Registry
    from progressive_tf.registry.keys import Keys

    return Registry(folder, keys=Keys.read(key, trusted, seen))


def _traffic(registry: Path, name: str, key: Path | None) -> Traffic:
    from progressive_tf.registry.traffic import Traffic

    return Traffic(_settled(_open(registry, key).existing_model(name)))


def _print_canary(model: ModelVersions, store: Path, lines: int | None = None) -> None:
    """Prints how the canary and the shadow under way stand, and what is known of them; nothing without one."""
    if {"canary", "shadow"} & set(model.aliases()):
        from progressive_tf.registry.traffic import Traffic
        from progressive_tf.serving.canary_evidence import canary_lines, shadow_lines

        traffic = Traffic(model)
        for found in (canary_lines(traffic, store), shadow_lines(traffic, store)):
            if found:
                _print("\n".join(found[:lines]))


def _settled(model: ModelVersions) -> ModelVersions:
    if model.settle():
        say(f"{model.name}: completed what an interrupted command left, or rewrote the aliases' files")
    return model


def _print(value: RenderableType) -> None:
    console().print(value)


def main() -> None:
    """Runs the command line."""
    run_command(app)


if __name__ == "__main__":
    main()
