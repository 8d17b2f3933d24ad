"""Checks a composed config and makes it a RunPlan: every key known, every value in its rule, all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_args

from hpo_cli import rules
from hpo_cli.errors import ConfigError, Problem, did_you_mean, shown
from hpo_cli.options import COMPONENT_GROUPS, Option, find_option, list_options, main_config
from hpo_cli.plan import (
    HEADS,
    OBJECTIVES,
    BatchPlan,
    CheckpointPlan,
    FineTuning,
    Head,
    Regularization,
    RescuePlan,
    RunPlan,
    TrainerPlan,
    make_plan,
)
from hpo_cli.record.folder import check_name
from hpo_cli.steer.planned import nudge_problems, whole_schedules

RESERVED_AT_TOP = ("rules", "experiment")
MAY_BE_NOTHING = ("augment", "logger")
"""Groups whose `_target_` may be null: nothing is built then."""
ALIASED = (
    "optimizer.lr", "optimizer.weight_decay", "model.dropout", "model.stochastic_depth", "loss.label_smoothing"
)  # fmt: skip
"""Second names of `lr` and keys of `regularization`, where their values are checked."""
LEARNT_INITS = ("autoencoder", "lsuv")
"""Initialisations that look at the training data."""
PLAIN = {
    "regularization": Regularization,
    "batch": BatchPlan,
    "finetune": FineTuning,
    "trainer": TrainerPlan,
    "checkpoint": CheckpointPlan,
    "rescue": RescuePlan,
}
"""Sections that nothing is built from: their keys are these records' fields."""


@dataclass(frozen=True)
class Known:
    """What may stand in a config: the main config and the chosen options, with their defaults and rules."""

    main: Option
    chosen: Mapping[str, Option] = field(default_factory=dict)

    def keys(self, group: str) -> list[str]:
        """The keys that a user may set in a group's section, its option's own first."""
        if group in PLAIN:
            return [field.name for field in fields(PLAIN[group])]
        own = self.chosen[group].keys if group in self.chosen else ()
        shared = self.main.defaults.get(group)
        return [*own, *(key for key in (shared if isinstance(shared, Mapping) else {}) if key not in own)]

    def default(self, group: str, key: str) -> Any:
        """The default of `group.key`, None when no file names it."""
        if group in self.chosen and key in self.chosen[group].defaults:
            return self.chosen[group].defaults[key]
        shared = self.main.defaults.get(group)
        return shared.get(key) if isinstance(shared, Mapping) else None

    def rule(self, group: str, key: str) -> rules.Rule:
        """The rule of `group.key`, empty when no file gives one."""
        own = self.chosen[group].rules.get(key) if group in self.chosen else None
        rule: rules.Rule = own or self.main.rules.get(f"{group}.{key}") or {}
        if not rule and group in PLAIN and group in self.chosen:
            rule = _default_option(group).rules.get(key, {})
        return rule


def known_for(choices: Mapping[str, str], *, config_dir: Path | None = None) -> Known:
    """The main config and the option files that `choices` names."""
    found = {group: find_option(group, name, config_dir=config_dir) for group, name in choices.items()}
    return Known(main_config(), {group: option for group, option in found.items() if option is not None})


@cache
def _default_option(group: str) -> Option:
    return list_options(group)["default"]


def plan_from_config(
    config: Mapping[str, Any],
    *,
    choices: Mapping[str, str],
    config_dir: Path | None = None,
    known: Known | None = None,
) -> RunPlan:
    """The RunPlan of a composed config.

    config: resolved, plain types, `???` where a value is missing.   known: `known_for(choices)`, for those who check
    many configs of the same choices. Raises ConfigError naming every problem.
    """
    clean, problems = _checked(config, choices, known or known_for(choices, config_dir=config_dir))
    if not problems and clean["schedule"]["nudges"]:
        problems = nudge_problems(
            clean,
            choices,
            check=lambda setting: _checked(*setting, known_for(setting.choices, config_dir=config_dir))[1],
        )
        clean["schedule"]["nudges"] = whole_schedules(clean["schedule"]["nudges"])
    if problems:
        raise ConfigError.of(problems)
    return make_plan(clean, choices=choices)


def _checked(
    config: Mapping[str, Any], choices: Mapping[str, str], known: Known
) -> tuple[dict[str, Any], list[Problem]]:
    clean, problems = _checked_config(config, known)
    return clean, problems or _cross_field_problems(clean, choices)


def _checked_config(config: Mapping[str, Any], known: Known) -> tuple[dict[str, Any], list[Problem]]:
    clean: dict[str, Any] = {}
    problems: list[Problem] = []
    sections = [key for key, value in known.main.defaults.items() if isinstance(value, Mapping)]
    sections = [*dict.fromkeys([*known.chosen, *sections, *COMPONENT_GROUPS])]
    for key, value in config.items():
        if key == "experiment":
            fix = "start the file of the experiment with `# @package _global_`"
            found = [Problem(key, f"keys below it ({', '.join(map(str, value or ()))}) have no effect", fix)]
        elif key in sections:
            clean[key], found = _checked_section(key, value, known)
        elif key in known.main.defaults:
            default = known.main.defaults[key]
            clean[key], found = rules.checked(key, value, rule=known.main.rules.get(key, {}), default=default)
        else:
            words = [*(word for word in known.main.defaults if word not in RESERVED_AT_TOP), *sections]
            found = [Problem(key, "no component takes this key", did_you_mean(key, words) or "remove it", value)]
        problems.extend(found)
    needed = (*COMPONENT_GROUPS, *PLAIN)
    problems.extend(
        Problem(group, "every run needs one", "do not delete it") for group in needed if group not in config
    )
    missing = [word for word in known.main.defaults if word not in clean and word not in needed]
    problems.extend(Problem(word, "is missing", "do not delete it with ~") for word in missing if word not in config)
    return clean, problems


def _checked_section(group: str, section: object, known: Known) -> tuple[dict[str, Any], list[Problem]]:
    if not isinstance(section, Mapping):
        return {}, [Problem(group, "is a group of keys", f"choose an option: hpo-run --help {group}", section)]
    clean: dict[str, Any] = {}
    problems: list[Problem] = []
    allowed = known.keys(group)
    is_built = group in COMPONENT_GROUPS and section.get("_target_") is not None
    problems.extend(_target_problems(group, section.get("_target_")))
    for key, value in section.items():
        if (key == "_target_" and group in COMPONENT_GROUPS) or f"{group}.{key}" in ALIASED:
            clean[key] = value
        elif key not in allowed and is_built:
            clean[key] = value  # bound to the target's signature when it is built
        elif key not in allowed:
            problems.append(unknown_key(group, key, known))
        elif value == "???":
            problems.append(Problem(f"{group}.{key}", "must be given", f"add {group}.{key}=..."))
        else:
            default, rule = known.default(group, key), known.rule(group, key)
            clean[key], found = rules.checked(f"{group}.{key}", value, rule=rule, default=default)
            problems.extend(found)
    absent = [key for key in allowed if key not in section]
    problems.extend(Problem(f"{group}.{key}", "is missing", "do not delete it with ~") for key in absent)
    return clean, problems


def _target_problems(group: str, target: object) -> Iterator[Problem]:
    if group in COMPONENT_GROUPS and group not in MAY_BE_NOTHING and target is None:
        yield Problem(f"{group}._target_", "must name what to build", "do not delete it")
    elif target is not None and not isinstance(target, str):
        yield Problem(f"{group}._target_", "must be a dotted name such as torch.optim.Adam", value=target)


def unknown_key(group: str, key: str, known: Known) -> Problem:
    """`optimizer.lrr: not an option of adam (lr=0.001, eps=1e-08, ...); did you mean optimizer.lr?`."""
    allowed = known.keys(group)
    option = known.chosen[group].name if group in known.chosen else group
    near = did_you_mean(key, allowed).replace("did you mean ", f"did you mean {group}.")
    listing = ", ".join(f"{name}={shown(known.default(group, name))}" for name in allowed) or "it has no keys"
    return Problem(f"{group}.{key}", f"not an option of {option} ({listing})", near)


def _cross_field_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> list[Problem]:
    checks = (
        _name_problems,
        _loss_problems,
        _optimizer_problems,
        _start_problems,
        _regularization_problems,
        _objective_problems,
        _trainer_problems,
        _split_problems,
    )
    return [problem for check in checks for problem in check(config, choices)]


def _name_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:  # noqa: ARG001
    try:
        check_name(config["name"])
    except ConfigError as error:
        yield from error.problems
    if not config["outputs"].strip():
        yield Problem("outputs", "must be a folder", "leave it out, or unset HPO_RUN_OUTPUTS", config["outputs"])


def _loss_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:
    task, head = config["data"]["task"], config["loss"].get("head")
    if head not in get_args(Head):
        yield Problem("loss.head", f"must be one of {', '.join(get_args(Head))}", "mend the loss", head)
    elif head not in HEADS[task]:
        yield Problem(
            "loss", f"does not fit data={choices.get('data')} (data.task={task})", _LOSS_FOR[task], choices.get("loss")
        )


_LOSS_FOR = {
    "regression": "set loss=mse",
    "classification": "set loss=cross_entropy (or bce for two classes)",
    "several": "set loss=multi_task",
    "language": "set loss=cross_entropy",
}


def _optimizer_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:  # noqa: ARG001
    optimizer = config["optimizer"]
    if optimizer.get("nesterov") is True and not optimizer.get("momentum"):
        rule = "needs a momentum to look ahead along"
        yield Problem("optimizer.nesterov", rule, "set optimizer.momentum=0.9", value="true")


def _start_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:
    """Work that would be undone: initial weights that others then replace, and the other way round."""
    init = choices.get("init")
    if config["model"].get("pretrained") and init != "default":
        yield Problem("init", "would overwrite the weights of model.pretrained", "set init=default", init)
    if config["finetune"]["weights"] is not None and init in LEARNT_INITS:
        yield Problem("init", "looks at data for weights that finetune.weights then replaces", "set init=default", init)
    batch = config["batch"]
    default = _default_option("batch").defaults["base_size"]
    if batch["scale_lr"] == "none" and batch["base_size"] != default:
        fix = "set batch.scale_lr=linear or sqrt"
        yield Problem("batch.base_size", "has no effect with batch.scale_lr=none", fix, batch["base_size"])


def _regularization_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:
    reg = config["regularization"]
    homes = {
        "dropout": "model",
        "stochastic_depth": "model",
        "label_smoothing": "loss",
        "weight_decay": "optimizer",
    }
    for key, group in homes.items():
        if reg[key] > 0 and key not in config[group]:
            yield Problem(
                f"regularization.{key}",
                f"{group}={choices.get(group)} has no {key}",
                f"set it to 0 or choose another {group}",
                reg[key],
            )
    if config["data"]["task"] == "language" and (reg["mixup"] or reg["cutmix"]):
        key = "mixup" if reg["mixup"] else "cutmix"
        yield Problem(f"regularization.{key}", "tokens cannot be mixed", "set it to 0", reg[key])
    if reg["clip_norm"] is not None and reg["clip_value"] is not None:
        yield Problem("regularization.clip_value", "clip_norm is set too", "choose one of them", reg["clip_value"])


def _objective_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:  # noqa: ARG001
    known = OBJECTIVES[config["data"]["task"]]
    name = config["objective"]
    if config["data"]["task"] == "several" and str(name).startswith("val/"):
        return  # a metric of one column, whose name the data alone knows
    if name is not None and name not in known:
        near = did_you_mean(name, known)
        yield Problem("objective", f"must be one of {', '.join(known)} for this task", near, name)


def _trainer_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:  # noqa: ARG001
    trainer = config["trainer"]
    if trainer["precision"] == "16-mixed" and trainer["accelerator"] == "cpu":
        yield Problem("trainer.precision", "needs a GPU", "use bf16-mixed on a CPU", "16-mixed")
    if config["batch_size"] < trainer["devices"]:
        yield Problem(
            "batch_size",
            f"is shared by trainer.devices={trainer['devices']} processes, each needs a sample",
            f"set batch_size>={trainer['devices']}",
            config["batch_size"],
        )
    if config["model"].get("norm") == "batch" and config["batch_size"] < 2 * trainer["devices"]:
        rule = f"with batch_size={config['batch_size']}: batch norm has no variance in a batch of one"
        yield Problem("model.norm", rule, "set model.norm=group or batch_size>=4", "batch")


def _split_problems(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[Problem]:  # noqa: ARG001
    data = config["data"]
    if data["folds"] is None and data["val_fraction"] + data["test_fraction"] >= 1:
        rule = f"with data.test_fraction={data['test_fraction']} leaves nothing to train on"
        yield Problem("data.val_fraction", rule, "lower one of them", data["val_fraction"])
