"""The keys of a Hugging Face config.json become an Architecture."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from meshwright.cost_models.architecture import Architecture
from meshwright.errors import ModelError
from meshwright.planner.models.config import Config, short
from meshwright.planner.models.families.registry import READERS, Reader

TEXT_SECTIONS: Final = ("text_config", "llm_config", "language_config")
"""Where configs of models that also see or hear keep their language model."""


def architecture_from(keys: object, name: str, where: str) -> Architecture:
    """The architecture that a config.json describes.

    Args:
        keys: The file's content.
        name: What the architecture will be called.
        where: The file or catalog name that messages start with.

    Raises:
        ModelError: The architecture is unknown, or keys are missing or contradictory: all of them are listed.
    """
    if not isinstance(keys, Mapping):
        raise ModelError(f"{where}: a config.json holds an object with keys, but this is {short(keys)}")
    text_keys = _text_keys(keys)
    reader = _reader(text_keys, where)
    config = Config(text_keys, name, where)
    architecture = reader(config)
    config.check()
    return architecture


def _text_keys(keys: Mapping[str, object]) -> Mapping[str, object]:
    section = next((keys[name] for name in TEXT_SECTIONS if isinstance(keys.get(name), Mapping)), None)
    if not isinstance(section, Mapping):
        return keys
    outer = {name: keys[name] for name in ("model_type", "architectures", "tie_word_embeddings") if name in keys}
    return {**outer, **section}


def _reader(keys: Mapping[str, object], where: str) -> Reader:
    model_type, architectures = keys.get("model_type"), keys.get("architectures")
    classes = [c for c in architectures if isinstance(c, str)] if isinstance(architectures, list) else []
    for name in [model_type, *(c.removesuffix("ForCausalLM").removesuffix("LMHeadModel") for c in classes)]:
        if isinstance(name, str) and (reader := _readers().get(_plain(name))):
            return reader
    raise ModelError(_unknown(model_type, classes, where))


@cache
def _readers() -> dict[str, Reader]:
    return {_plain(model_type): reader for model_type, reader in READERS.items()}


def _plain(model_type: str) -> str:
    """One spelling for `gemma3`, its `gemma3_text` and its `Gemma3ForCausalLM`."""
    return model_type.lower().removesuffix("_text").replace("_", "").replace("-", "")


def _unknown(model_type: object, classes: list[str], where: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

    way_on = "or describe the layers by hand in a YAML file (docs/reference/model-file.md)"
    if not isinstance(model_type, str):
        return f"{where}: model_type is missing, so the meaning of the other keys is unknown: add it, {way_on}"
    near = get_close_matches(model_type, READERS, n=3, cutoff=0.3) or sorted(READERS)
    return (
        f"{where}: Meshwright has no reader for model_type {short(model_type)}"
        f" (architectures: {', '.join(classes) or 'not given'});"
        f" the closest that it reads are {', '.join(near)}. Set model_type to one of the same structure,"
        f" {way_on}"
    )
