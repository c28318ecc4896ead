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
    """Settings of the service.

    A flag (`--port 8001`) overrides VSEARCH_PORT, which overrides the YAML file's `port: 8001`.
    """

    model_config = SettingsConfigDict(
        env_prefix="VSEARCH_", extra="forbid", cli_kebab_case=True, use_attribute_docstrings=True
    )

    bundle: Path | None = None
    """the bundle's folder; read again from the file at each reload"""
    plugins: Annotated[list[str], NoDecode] = []
    """your own modules whose classes the bundle may name, comma-separated"""
    store_hosts: Annotated[list[str], NoDecode] = []
    """vector stores that the bundle may use, comma-separated: db:5432; /plain after it: no TLS"""
    wait_for_bundle: bool = False
    """if the bundle can't be served at the start, say why, and try again until it can"""
    host: str = "127.0.0.1"
    """address to listen at; any but loopback needs behind_proxy"""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """port to listen at; 0: any that is free"""
    behind_proxy: bool = False
    """true: a proxy in front limits slow and numerous connections"""
    trusted_proxies: str = "127.0.0.1"
    """proxies (addresses, networks) whose X-Forwarded-For counts, comma-separated; *: all"""
    root_path: str = ""
    """path under which the proxy offers the service"""
    photos_root: Path | None = None
    """the folder that holds the photos now; none: where they were at the fit"""
    photo_folders: Annotated[list[Path], NoDecode] = []
    """other folders with photos of items that were added later, comma-separated"""
    api_key: SecretStr | None = None
    """accepted keys, comma-separated; none: no key is needed"""
    admin_key: SecretStr | None = None
    """key for the admin routes; none: those of api_key"""
    rate_per_minute: Annotated[int, Field(ge=0)] = 0
    """requests a minute for each key, or for each address without api_key; 0: no limit"""
    cors_origins: Annotated[list[str], NoDecode] = []
    """web origins that may call, comma-separated"""
    max_body_bytes: Count = 10_000_000
    """longest request body"""
    max_json_bytes: Count = 1_000_000
    """longest body other than a multipart form; all requests wait while it is parsed"""
    max_pixels: Count = 50_000_000
    """most pixels in a photo"""
    max_decoded_bytes: Count = 400_000_000
    """memory for photos that are decoded at once; a larger photo is decoded alone"""
    max_requests: Count = 512
    """requests taken in at once; more get 503"""
    max_waiting: Count = 128
    """photos waiting for a step (decode, embed, search); more get 503"""
    max_batch: Count = 16
    """photos embedded together; 1: each alone"""
    gather_ms: Annotated[float, Field(ge=0)] = 10
    """longest wait, in milliseconds, for other photos to embed together with"""
    decode_threads: Count = 2
    """uploaded photos decoded at once"""
    thumbnail_threads: Count = 2
    """thumbnails of items made at once"""
    search_threads: Count = 2
    """searches at once"""
    runtime: WantedName = "auto"
    """torch, onnx, openvino; auto: the quickest of the bundle's exports, else torch"""
    precision: WantedPrecision = "auto"
    """float32, bfloat16; auto: bfloat16 if the CPU supports it and embeddings stay the same"""
    runtime_threads: Annotated[int, Field(ge=0)] = 0
    """threads of the runtime; 0: one for each core"""
    one_view: bool = False
    """embed uploads without the bundle's views: faster, finds a little less, no calibration"""
    body_s: Seconds = 15
    """seconds for a request's body to arrive"""
    request_s: Seconds = 30
    """seconds for a request in all"""
    grace_s: Seconds = 15
    """seconds to answer open requests when the service stops"""
    retry_after_s: Count = 1
    """seconds in Retry-After with 503"""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG, INFO, WARNING or ERROR"""

    @field_validator("root_path")
    @classmethod
    def _without_last_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("plugins", "store_hosts", "photo_folders", "cors_origins", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return separated(value) if isinstance(value, str) else value

    @property
    def keys(self) -> list[str]:
        """Accepted keys."""
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
        """Return the sources of values, the strongest first."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def separated(text: str) -> list[str]:
    """Return the parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def from_flags(flags: list[str], file: Path | None = None) -> Settings:
    """Return settings from flags, environment and maybe a YAML file; a wrong flag exits.

    Raises:
        pydantic.ValidationError, pydantic_settings.SettingsError: a name or a value is wrong.
    """

    class FromFile(Settings):
        model_config = SettingsConfigDict(
            yaml_file=file, cli_prog_name="vsearch serve BUNDLE", cli_avoid_json=True
        )

    return FromFile(_cli_parse_args=flags)  # type: ignore[call-arg]
