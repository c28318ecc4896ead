from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from vsearch.bundle.exports.choice import WantedName, WantedPrecision

LOOPBACK = ("127.0.0.1", "::1", "localhost")
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """How the service is run.

    A flag (`--port 8001`) wins over VSEARCH_PORT, and that over the YAML file's `port: 8001`.
    """

    model_config = SettingsConfigDict(env_prefix="VSEARCH_", extra="forbid", cli_kebab_case=True)

    bundle: Path | None = Field(
        default=None, description="the bundle's folder; read again from the file at each reload"
    )
    host: str = Field(
        default="127.0.0.1",
        description="address to listen at; others than loopback want behind_proxy",
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="port to listen at; 0: any that is free"
    )
    behind_proxy: bool = Field(
        default=False, description="a proxy stands in front that limits slow and many connections"
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description=(
            "addresses or networks of proxies whose X-Forwarded-For tells the address, "
            "comma-separated; *: all"
        ),
    )
    root_path: str = Field(default="", description="path under which the proxy offers the service")
    photos_root: Path | None = Field(
        default=None, description="folder that the items' relative paths start from"
    )
    api_key: SecretStr | None = Field(
        default=None, description="keys that are let in, separated by commas; none: everybody is"
    )
    admin_key: SecretStr | None = Field(
        default=None, description="key of the admin routes; none: those of api_key open them"
    )
    rate_per_minute: int = Field(
        default=0,
        ge=0,
        description="requests a minute of one key, or without api_key of one address; 0: no limit",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=[], description="web origins that may call, comma-separated"
    )
    max_body_bytes: Count = Field(default=10_000_000, description="longest request body")
    max_json_bytes: Count = Field(
        default=1_000_000,
        description="longest body that is no multipart form; all requests wait while it is parsed",
    )
    max_pixels: Count = Field(default=50_000_000, description="most pixels of a photo")
    max_requests: Count = Field(default=512, description="requests taken in at once; more get 503")
    max_waiting: Count = Field(
        default=128, description="photos waiting for a step (decode, embed, search); more get 503"
    )
    max_batch: Count = Field(default=16, description="photos embedded together; 1: each alone")
    gather_ms: float = Field(
        default=10,
        ge=0,
        description="milliseconds that a photo waits for as many others as came together before",
    )
    decode_threads: Count = Field(default=2, description="photos decoded at once")
    search_threads: Count = Field(default=2, description="searches at once")
    runtime: WantedName = Field(
        default="auto",
        description="torch, onnx, openvino; auto: the quickest of PyTorch and the bundle's exports",
    )
    precision: WantedPrecision = Field(
        default="auto",
        description=(
            "float32, bfloat16, int8; auto: bfloat16 if the CPU has it and embeddings stay, else "
            "float32"
        ),
    )
    runtime_threads: int = Field(
        default=0,
        ge=0,
        description="threads of the runtime; 0: one for each core",
    )
    body_s: Seconds = Field(
        default=15, description="seconds that a request's body may take to arrive"
    )
    request_s: Seconds = Field(default=30, description="seconds that a request may take in all")
    grace_s: Seconds = Field(
        default=15, description="seconds to answer what was taken in, once the service is to stop"
    )
    retry_after_s: Count = Field(default=1, description="seconds that Retry-After names with 503")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    @field_validator("root_path")
    @classmethod
    def _without_last_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return separated(value) if isinstance(value, str) else value

    @property
    def keys(self) -> list[str]:
        """Keys that are let in."""
        return separated(self.api_key.get_secret_value()) if self.api_key else []

    @property
    def admin_keys(self) -> list[str]:
        """Keys of the admin routes; without one there are no such routes."""
        return [self.admin_key.get_secret_value()] if self.admin_key else self.keys

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the strongest first."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def separated(text: str) -> list[str]:
    """Return what commas separate."""
    return [part.strip() for part in text.split(",") if part.strip()]


def from_flags(flags: list[str], file: Path | None = None) -> Settings:
    """Return settings of flags, environment and, if there is one, a YAML file.

    Raises:
        pydantic.ValidationError, pydantic_settings.SettingsError: a name or a value is wrong.
        SystemExit: a flag is.
    """

    class FromFile(Settings):
        model_config = SettingsConfigDict(
            yaml_file=file, cli_prog_name="vsearch serve BUNDLE", cli_avoid_json=True
        )

    return FromFile(_cli_parse_args=flags)  # type: ignore[call-arg]
