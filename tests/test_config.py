"""What conf.toml may say, where secrets come from, and how every mistake is told."""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tomli

from poller import config, config_values, cron, timezones
from poller.config import Config, find, load
from poller.config_values import Unfit, seconds_of
from poller.errors import ConfigError
from poller.events import SCAN_TYPES, USUAL_TYPES, EventType

TOKEN = "123456789:AAE-abcdefghijklmnopqrstuvwxyz_0123"
PASSWORD = "s3cret/pass@word"
REFERENCE = Path(__file__).parent.parent / "conf.toml"

ARTICLE = r"""
[telegram]
bot_token = "123456789:AAE-abcdefghijklmnopqrstuvwxyz_0123"
chat_id = "-1001234567890"
message_thread_id = "1234"

[markdown]
escape_chars = ["\\", "_", "*", "[", "]", "(", ")", "~", "`", ">", "#", "+", "-", "=", "|", "{", "}", "!"]

[events]
PUSH_ARTIFACT = true
PULL_ARTIFACT = false
DELETE_ARTIFACT = true
SCANNING_STOPPED = true
SCANNING_COMPLETED = true
"""

HARBOR = f"""
[harbor]
url = "https://registry.example.org"
username = 'robot$poller'
password = "{PASSWORD}"
"""

TELEGRAM = f"""
[telegram]
bot_token = "{TOKEN}"
chat_id = -1001234567890
"""


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "conf.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def loaded(folder: Path, text: str = "", **environ: str) -> Config:
    """The smallest working configuration with more lines before its sections."""
    return load(written(folder, text + HARBOR + TELEGRAM), environ)


def mistakes(folder: Path, text: str, **environ: str) -> list[str]:
    """The lines of the error, without the file's name before each."""
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def harbor_line(line: str) -> str:
    """A working configuration but for one line in [harbor]."""
    key = line.partition("=")[0].strip()
    kept = "".join(old for old in HARBOR.splitlines(keepends=True) if not old.startswith(f"{key} "))
    return f"{kept}{line}\n{TELEGRAM}"


def telegram_line(line: str) -> str:
    key = line.partition("=")[0].strip()
    kept = "".join(old for old in TELEGRAM.splitlines(keepends=True) if not old.startswith(f"{key} "))
    return f"{HARBOR}{kept}{line}\n"


# -- what works -------------------------------------------------------------------------------------


def test_the_articles_file_works_with_harbor_added(tmp_path: Path) -> None:
    """Texts for numbers, a list of characters without the dot, and an event that is not named: all as it was."""
    got = load(written(tmp_path, ARTICLE + HARBOR), {})

    assert got.telegram.chat_id == -1001234567890
    assert got.telegram.message_thread_id == 1234
    assert got.telegram.bot_token.reveal() == TOKEN
    assert got.events == USUAL_TYPES - {EventType.PULL_ARTIFACT}
    assert got.missing_escapes == "."
    assert got.harbor.url == "https://registry.example.org"
    assert got.harbor.password.reveal() == PASSWORD
    assert got.language == "ru"
    assert got.warnings == ()


def test_everything_else_has_a_default(tmp_path: Path) -> None:
    got = loaded(tmp_path)

    assert got.harbor.projects == ()
    assert (got.harbor.ca_file, got.harbor.verify, got.harbor.proxy, got.harbor.timeout) == (None, True, None, 30.0)
    assert got.telegram.message_thread_id is None
    assert got.telegram.api_url == "https://api.telegram.org"
    assert (got.telegram.proxy, got.telegram.silent) == (None, frozenset())
    assert got.missing_escapes == ""
    assert got.events == USUAL_TYPES
    assert got.schedule == config.Schedule(poll=5.0, cron=None, jitter=1.0, sweep=3600.0, sweep_requests=60)
    assert got.scans == config.ScansConfig(
        minimum_severity="none", important="critical", only_fixable=False, only_changed=False, sbom=False, quiet=60.0
    )
    assert got.delivery == config.Delivery(max_delay=120.0, catch_up_after=900.0)
    assert got.state.keep == timedelta(days=90)
    assert got.state.url.reveal() == f"sqlite:///{tmp_path}/state.db"


def test_the_reference_shows_every_setting() -> None:
    """conf.toml is the documentation: each key stands in it, as a line or as a comment."""
    text = REFERENCE.read_text(encoding="utf-8")

    for name, keys in config.KEYS.items():
        block = text.partition(f"\n[{name}]\n")[2] if name else text
        block = block.partition("\n[")[0]
        for key in keys:
            assert re.search(rf"^(# )?{key} = ", block, re.MULTILINE), f"[{name}] {key}"


def test_the_references_defaults_are_the_defaults(tmp_path: Path) -> None:
    """With each comment that shows a setting made a line, the file means what it means without them."""
    text = REFERENCE.read_text(encoding="utf-8")
    examples = ("timezone", "password_file", "ca_file", "proxy", "bot_token_file", "cron")
    shown = re.sub(rf"^# (?!(?:{'|'.join(examples)}) )(\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert shown.count("\n# ") < text.count("\n# ")

    def filled(text: str) -> str:
        text = text.replace("harbor.example.com", "registry.example.org").replace("-1000000000000", "-100123")
        text = text.replace(config_values.PLACEHOLDER_TOKEN, TOKEN)
        return text.replace(config_values.PLACEHOLDER_PASSWORD, "password")

    bare = '[harbor]\nurl = "https://registry.example.org"\nusername = "robot$poller"\npassword = "password"\n'
    bare += f'[telegram]\nbot_token = "{TOKEN}"\nchat_id = -100123\n'
    got = load(written(tmp_path, filled(shown)), {})
    expected = load(written(tmp_path, bare), {})
    assert set(got.escape_chars) == set(expected.escape_chars)
    assert repr(got).replace(repr(got.escape_chars), "") == repr(expected).replace(repr(expected.escape_chars), "")


def test_an_unedited_reference_says_what_to_fill_in() -> None:
    with pytest.raises(ConfigError) as caught:
        load(REFERENCE, {})

    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    for line, where in zip(lines, ("[harbor] url", "password", "bot_token", "chat_id"), strict=True):
        assert where in line
        assert "still the placeholder" in line


@pytest.mark.parametrize(
    ("written_url", "url"),
    [
        ("https://registry.example.org/", "https://registry.example.org"),
        ("https://Registry.Example.org:443", "https://registry.example.org"),
        ("http://10.0.0.5:8080/", "http://10.0.0.5:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://registry.example.org/api/v2.0/", "https://registry.example.org"),
        ("https://registry.example.org/harbor/projects/3/repositories", "https://registry.example.org"),
        ("https://example.org/tools/harbor", "https://example.org/tools/harbor"),
        ("https://example.org/tools/harbor/harbor/projects", "https://example.org/tools/harbor"),
    ],
)
def test_harbors_address_is_understood_as_people_paste_it(tmp_path: Path, written_url: str, url: str) -> None:
    assert load(written(tmp_path, harbor_line(f'url = "{written_url}"')), {}).harbor.url == url


@pytest.mark.parametrize(
    ("line", "chat_id"),
    [
        ("chat_id = -1001234567890", -1001234567890),
        ('chat_id = "-1001234567890"', -1001234567890),
        ('chat_id = " 42 "', 42),
        ('chat_id = "@our_registry"', "@our_registry"),
    ],
)
def test_a_chat_is_a_number_or_a_public_name(tmp_path: Path, line: str, chat_id: int | str) -> None:
    assert load(written(tmp_path, telegram_line(line)), {}).telegram.chat_id == chat_id


@pytest.mark.parametrize(
    ("value", "thread"), [('"1234"', 1234), ("1234", 1234), ('""', None), ("1", None), ('"0"', None)]
)
def test_no_topic_and_the_general_topic_mean_the_chat_itself(tmp_path: Path, value: str, thread: int | None) -> None:
    """Telegram refuses the General topic's own number."""
    got = load(written(tmp_path, telegram_line(f"message_thread_id = {value}")), {})
    assert got.telegram.message_thread_id == thread


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5s", 5),
        ("2m", 120),
        ("1h30m", 5400),
        ("90d", 7776000),
        ("1.5h", 5400),
        ("2 m", 120),
        ("30", 30),
        (30, 30),
        (0.5, 0.5),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize(
    "value", ["", "soon", "5 parsecs", "-5s", "s", True, None, [5], float("nan"), float("inf"), "m5"]
)
def test_what_is_no_duration(value: object) -> None:
    assert seconds_of(value) is None


def test_escape_characters_may_be_one_text(tmp_path: Path) -> None:
    got = loaded(tmp_path, "markdown.escape_chars = '_*_'\n")
    assert got.escape_chars == "_*"
    assert got.missing_escapes == "[]()~`>#+-=|{}.!\\"


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to where the program was started: a service starts in /."""
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "word").write_text("from-a-file\n")
    text = harbor_line('ca_file = "ca.pem"').replace(f'password = "{PASSWORD}"', 'password_file = "word"')
    path = written(tmp_path, text)
    monkeypatch.chdir(tmp_path.parent)

    got = load(Path(tmp_path.name) / path.name, {})
    assert got.harbor.ca_file == tmp_path / "ca.pem"
    assert got.harbor.password.reveal() == "from-a-file"
    assert got.state.url.reveal() == f"sqlite:///{tmp_path}/state.db"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/poller/state.db", "sqlite:////var/lib/poller/state.db"),
        ("postgres://u:p@db/poller", "postgresql+psycopg://u:p@db/poller"),
        ("postgresql://u:p@db:5432/poller?sslmode=require", "postgresql+psycopg://u:p@db:5432/poller?sslmode=require"),
        ("postgresql+psycopg://db/poller", "postgresql+psycopg://db/poller"),
    ],
)
def test_state_urls(tmp_path: Path, url: str, expected: str) -> None:
    got = load(written(tmp_path, f'{HARBOR}{TELEGRAM}[state]\nurl = "{url}"\n'), {})
    assert got.state.url.reveal() == expected


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff" + HARBOR + TELEGRAM)
    assert load(path, {}).harbor.username == "robot$poller"


# -- scans ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [('"1m"', 60), ('"7d"', 604800), ("90", 90), ('"90"', 90), ("90.5", 90.5), ('"off"', None), ('" Off "', None)],
)
def test_how_often_the_sweep_looks(tmp_path: Path, value: str, seconds: float | None) -> None:
    """A duration as everywhere, or "off", with `cron` as with `poll`."""
    for other in ("", 'cron = "*/5 * * * *"\n'):
        text = f"{HARBOR}{TELEGRAM}[schedule]\n{other}sweep = {value}\n"
        assert load(written(tmp_path, text), {}).schedule.sweep == seconds


@pytest.mark.parametrize(("value", "requests"), [("1", 1), ("3600", 3600), ('"200"', 200), ('" 200 "', 200)])
def test_what_the_sweep_may_cost(tmp_path: Path, value: str, requests: int) -> None:
    for other in ("", 'cron = "*/5 * * * *"\n'):
        text = f"{HARBOR}{TELEGRAM}[schedule]\n{other}sweep_requests = {value}\n"
        assert load(written(tmp_path, text), {}).schedule.sweep_requests == requests


def test_which_scans_are_told(tmp_path: Path) -> None:
    """Severities are understood as Harbor and people write them."""
    text = """
        [scans]
        minimum_severity = "High"
        important = " MEDIUM "
        only_fixable = true
        only_changed = true
        sbom = true
        quiet = "0s"
        """
    assert load(written(tmp_path, HARBOR + TELEGRAM + text), {}).scans == config.ScansConfig(
        minimum_severity="high", important="medium", only_fixable=True, only_changed=True, sbom=True, quiet=0.0
    )


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low"])
def test_every_severity_can_be_a_threshold(tmp_path: Path, severity: str) -> None:
    text = f'[scans]\nminimum_severity = "{severity}"\nimportant = "{severity}"\n'
    got = load(written(tmp_path, HARBOR + TELEGRAM + text), {}).scans
    assert (got.minimum_severity, got.important) == (severity, severity)


@pytest.mark.parametrize(("value", "important"), [('"off"', None), ('"OFF"', None), ('""', "critical")])
def test_no_finding_need_be_important(tmp_path: Path, value: str, important: str | None) -> None:
    """The word is a setting, an empty text is none."""
    got = load(written(tmp_path, f"{HARBOR}{TELEGRAM}[scans]\nimportant = {value}\n"), {})
    assert got.scans.important == important


def test_without_scan_events_the_settings_of_scans_are_no_mistake(tmp_path: Path) -> None:
    off = "".join(f"{name} = false\n" for name in sorted(SCAN_TYPES))
    got = load(written(tmp_path, f"{HARBOR}{TELEGRAM}[events]\n{off}[scans]\nsbom = true\n"), {})
    assert (got.events & SCAN_TYPES, got.scans.sbom, got.warnings) == (frozenset(), True, ())


# -- time zones -------------------------------------------------------------------------------------


def test_a_configured_time_zone(tmp_path: Path) -> None:
    assert loaded(tmp_path, 'timezone = "Europe/Moscow"\n').timezone == ZoneInfo("Europe/Moscow")


def test_the_systems_time_zone(tmp_path: Path) -> None:
    """TZ first, then what /etc/localtime points at, then UTC."""
    link = tmp_path / "localtime"
    link.symlink_to(tmp_path / "zoneinfo" / "Asia" / "Tokyo")
    assert timezones.of_system({"TZ": ":Europe/Moscow"}, link) == ZoneInfo("Europe/Moscow")
    assert timezones.of_system({"TZ": "not/a-zone"}, tmp_path / "none") is UTC
    assert timezones.of_system({}, tmp_path / "none") is UTC
    assert str(timezones.of_system({}, link)) == "Asia/Tokyo"


def test_an_unknown_time_zone_names_the_nearest(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, 'timezone = "Europe/Moskow"\n' + HARBOR + TELEGRAM)
    assert line.startswith('timezone = "Europe/Moskow": must be a name such as')
    assert line.endswith('did you mean "Europe/Moscow"?')


@pytest.mark.parametrize("value", ['"Europe"', '"/etc/passwd"', '"../x"', "3"])
def test_what_is_no_time_zone(tmp_path: Path, value: str) -> None:
    (line,) = mistakes(tmp_path, f"timezone = {value}\n" + HARBOR + TELEGRAM)
    assert line.startswith(f"timezone = {value}: must be")


# -- secrets ----------------------------------------------------------------------------------------


def test_secrets_first_found(tmp_path: Path) -> None:
    """The environment before a systemd credential before a file of its own before conf.toml."""
    (tmp_path / "own").write_text("from-own-file\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "harbor_password").write_text("from-credential")
    text = harbor_line('password_file = "own"')
    path = written(tmp_path, text)

    everything = {"HARBOR_PASSWORD": "from-environment", "CREDENTIALS_DIRECTORY": str(credentials)}
    assert load(path, everything).harbor.password.reveal() == "from-environment"
    del everything["HARBOR_PASSWORD"]
    assert load(path, everything).harbor.password.reveal() == "from-credential"
    (credentials / "harbor_password").unlink()
    assert load(path, everything).harbor.password.reveal() == "from-own-file"
    assert load(written(tmp_path, HARBOR + TELEGRAM), {}).harbor.password.reveal() == PASSWORD


def test_the_bot_token_comes_from_the_same_places(tmp_path: Path) -> None:
    path = written(tmp_path, HARBOR + '[telegram]\nchat_id = 1\nbot_token_file = "token"\n')
    (tmp_path / "token").write_text(f"{TOKEN}\r\n")
    assert load(path, {}).telegram.bot_token.reveal() == TOKEN
    (tmp_path / "telegram_bot_token").write_text("1:credential")
    assert load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).telegram.bot_token.reveal() == "1:credential"
    assert load(path, {"TELEGRAM_BOT_TOKEN": "2:environment"}).telegram.bot_token.reveal() == "2:environment"


def test_an_empty_environment_variable_is_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, HARBOR_PASSWORD="").harbor.password.reveal() == PASSWORD


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no such file"),
        (b"\n", "is empty"),
        (b"a\nb\n", "has several lines"),
        (b"\xff\xfe\x00", "is not text"),
    ],
)
def test_a_secret_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "own").write_bytes(content)
    (line,) = mistakes(tmp_path, harbor_line('password_file = "own"'))
    assert line.startswith(f"[harbor] password_file: {tmp_path}/own: {expected}")


def test_a_secret_file_that_is_a_directory(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, harbor_line('password_file = "."'))
    assert "is a directory" in line


def test_a_wrong_token_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, HARBOR + TELEGRAM, TELEGRAM_BOT_TOKEN="oops-not-a-token")
    assert line.startswith("the environment variable TELEGRAM_BOT_TOKEN: must look as BotFather gives it")
    assert "oops" not in line


def test_the_environment_overrides_the_state_url(tmp_path: Path) -> None:
    got = loaded(tmp_path, HARBOR_POLLER_STATE_URL="postgresql://u:dbword@db/poller")
    assert got.state.url.reveal() == "postgresql+psycopg://u:dbword@db/poller"
    (line,) = mistakes(tmp_path, HARBOR + TELEGRAM, HARBOR_POLLER_STATE_URL="mysql://u:dbword@db/x")
    assert line == "the environment variable HARBOR_POLLER_STATE_URL: must begin with sqlite:/// or postgresql://"


def test_the_repr_shows_no_secret(tmp_path: Path) -> None:
    text = harbor_line('proxy = "http://u:proxyword@proxy:3128"') + 'proxy = "socks5h://u:sockword@127.0.0.1:1080"\n'
    got = load(written(tmp_path, f'{text}[state]\nurl = "postgresql://u:dbword@db/x"\n'), {})

    words = (PASSWORD, TOKEN, TOKEN.partition(":")[2], "proxyword", "sockword", "dbword")
    assert [word for word in words if word in repr(got)] == []
    revealed = {secret.reveal() for secret in got.secrets}
    assert revealed == {*words, f"robot$poller:{PASSWORD}"}


@pytest.mark.parametrize(("mode", "reader"), [(0o644, "every user"), (0o604, "every user"), (0o640, "its group")])
def test_a_file_with_secrets_that_others_may_read(tmp_path: Path, mode: int, reader: str) -> None:
    (warning,) = load(written(tmp_path, HARBOR + TELEGRAM, mode), {}).warnings
    assert f"{tmp_path}/conf.toml holds a secret ([harbor] password, [telegram] bot_token) and may be read by" in str(
        warning
    )
    assert reader in warning.text
    assert "chmod" in warning.remedy


def test_a_file_without_secrets_may_be_read_by_all(tmp_path: Path) -> None:
    text = '[harbor]\nurl = "https://h.example.org"\nusername = "u"\n[telegram]\nchat_id = 1\n'
    environ = {"HARBOR_PASSWORD": "x", "TELEGRAM_BOT_TOKEN": TOKEN}
    assert load(written(tmp_path, text, 0o644), environ).warnings == ()


def test_warnings_for_what_is_allowed_but_unwise(tmp_path: Path) -> None:
    off = "".join(f"{name} = false\n" for name in USUAL_TYPES)
    warnings = load(written(tmp_path, harbor_line("verify = false") + f"[events]\n{off}"), {}).warnings
    assert ["verify" in warnings[0].text, "nothing will be told" in warnings[1].text] == [True, True]


@pytest.mark.parametrize(
    ("given", "address", "is_loopback"),
    [
        ('"127.0.0.1:9108"', "127.0.0.1:9108", True),
        ('"9108"', "127.0.0.1:9108", True),
        ("9108", "127.0.0.1:9108", True),
        ('"[::1]:9108"', "[::1]:9108", True),
        ('"localhost:9108"', "localhost:9108", True),
        ('"0.0.0.0:9108"', "0.0.0.0:9108", False),
        ('"[::]:9108"', "[::]:9108", False),
        ('"poller.example.org:9108"', "poller.example.org:9108", False),
    ],
)
def test_where_metrics_are_shown(tmp_path: Path, given: str, address: str, is_loopback: bool) -> None:
    """A port alone is this machine's; where others can read along, that is said."""
    got = load(written(tmp_path, f"{HARBOR}{TELEGRAM}[metrics]\nlisten = {given}\n"), {})

    assert str(got.metrics.listen) == address
    warnings = [
        warning for warning in got.warnings if warning.text.startswith(f"[metrics] listen = {address}: whoever")
    ]
    assert len(warnings) == (not is_loopback)


def test_metrics_are_off_by_default(tmp_path: Path) -> None:
    """With an empty text, too."""
    assert loaded(tmp_path).metrics.listen is None
    assert load(written(tmp_path, f'{HARBOR}{TELEGRAM}[metrics]\nlisten = ""\n'), {}).metrics.listen is None


@pytest.mark.parametrize(
    "given", ['":9108"', '"9108:"', '"::1:9108"', '"127.0.0.1:70000"', '"unix:/run/x"', "true", '"*:1"']
)
def test_where_metrics_cannot_be_shown(tmp_path: Path, given: str) -> None:
    """The mistake says what an address looks like."""
    (line,) = mistakes(tmp_path, f"{HARBOR}{TELEGRAM}[metrics]\nlisten = {given}\n")

    assert line.startswith(f"[metrics] listen = {given}: must ")


# -- mistakes ---------------------------------------------------------------------------------------


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    """File, key, value and what is allowed; the nearest known name for an unknown one."""
    text = """
        langage = "en"
        language = "de"
        [harbor]
        url = "registry.example.org"
        username = "ann"
        pasword = "hunter2"
        verify = "true"
        [telegarm]
        chat_id = 1
        [telegram]
        bot_token = "12345"
        chat_id = true
        [schedule]
        poll = "0.5s"
        sweep = "soon"
        sweeps_requests = 60
        [scans]
        only_fixed = true
        minimum_severity = "severe"
        important = "none"
        quiet = "2h"
        [events]
        push_artifact = true
        timezone = "UTC"
        """
    assert mistakes(tmp_path, text) == [
        "langage: unknown key; did you mean language?",
        "[harbor] pasword: unknown key; did you mean password?",
        "[telegarm]: unknown section; did you mean [telegram]?",
        "[schedule] sweeps_requests: unknown key; did you mean sweep_requests?",
        "[scans] only_fixed: unknown key; did you mean only_fixable?",
        "[events] push_artifact: unknown key; did you mean PUSH_ARTIFACT?",
        "[events] timezone: unknown key; timezone belongs at the top of the file, above the first section",
        'language = "de": must be "ru" or "en"',
        '[harbor] url = "registry.example.org": must begin with http:// or https://, as in https://registry.example.org',
        "[harbor] password is missing: give it here, name a file in password_file, "
        "or set the environment variable HARBOR_PASSWORD",
        '[harbor] verify = "true": must be true or false, without quotation marks',
        "[telegram] bot_token: must look as BotFather gives it: digits, a colon, then letters, digits, _ and -",
        '[telegram] chat_id = true: must be the number of a chat such as "-1001234567890", '
        'or "@name" of a public group or channel',
        '[schedule] poll = "0.5s": must be between "1s" and "1d"',
        '[schedule] sweep = "soon": must be a duration such as "5s", "2m", "1h" or "90d", or a number of seconds, '
        'or "off"',
        '[scans] important = "none": must be "critical" or "high" or "medium" or "low" or "off"',
        '[scans] minimum_severity = "severe": must be "critical" or "high" or "medium" or "low" or "none"',
        '[scans] quiet = "2h": must be between "0s" and "1h"',
    ]


def test_missing_sections_are_told_once(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "") == [
        "[harbor] is missing: add it, with url, username and password (or password_file)",
        "[telegram] is missing: add it, with bot_token (or bot_token_file) and chat_id",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[backups]\n", "[backups]: unknown section; there are [harbor], [telegram]"),
        ("[scan]\n", "[scan]: unknown section; did you mean [scans]?"),
        ("[scans]\nsweep = '1h'\n", "[scans] sweep: unknown key; sweep belongs in [schedule]"),
        ("[[state]]\n", "[[state]] must be one section, with single brackets: [state]"),
        ("[harbor.x]\n", "[harbor] x: unknown key"),
        ("[delivery]\nsettel = 1\n", "[delivery] settel: unknown key; did you mean settle?"),
        ("[delivery]\nchat_di = 1\n", "[delivery] chat_di: unknown key; did you mean chat_id in [telegram]?"),
    ],
)
def test_unknown_names(tmp_path: Path, text: str, expected: str) -> None:
    assert mistakes(tmp_path, HARBOR + TELEGRAM + text)[0].startswith(expected)


def test_a_section_that_is_a_value(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "state = 3\n" + HARBOR + TELEGRAM) == [
        "state must be a section: a line [state], its keys below it"
    ]


@pytest.mark.parametrize(
    "line",
    [
        'url = "https://u:p4ssw0rd@registry.example.org"',
        'url = "https://registry.example.org/?token=p4ssw0rd"',
        'url = "ftp://u:p4ssw0rd@h"',
        'url = "https://"',
        'url = "https://h:99999"',
        'url = "https://exa mple.org"',
        "url = 5",
        'username = "a:b"',
        "username = 7",
        "password = 12345678",
        'proxy = "u:p4ssw0rd@proxy:3128"',
        'proxy = "socks4://u:p4ssw0rd@proxy:3128"',
        'proxy = "http://u:p4ssw0rd@"',
        'projects = "team"',
        "projects = [1]",
        'projects = ["team/app"]',
        'projects = ["Team"]',
        'ca_file = "none.pem"',
        'ca_file = "conf.toml"',
        "verify = 1",
        'timeout = "0s"',
        'timeout = "forever"',
    ],
)
def test_mistakes_in_harbor(tmp_path: Path, line: str) -> None:
    """One line each, which names the key and what is allowed, and never a password."""
    (told,) = mistakes(tmp_path, harbor_line(line))
    assert told.startswith(f"[harbor] {line.partition(' ')[0]}")
    assert "must" in told
    assert "p4ssw0rd" not in told
    assert "12345678" not in told


@pytest.mark.parametrize(
    "line",
    [
        'bot_token = "bot123456789:AAE-abcdefghij"',
        'bot_token = "AAE-abcdefghij"',
        "bot_token = 123456789",
        "chat_id = 0",
        "chat_id = 1.5",
        'chat_id = "our_registry"',
        'chat_id = "https://t.me/our_registry"',
        'chat_id = "123456789:AAE-abcdefghij"',
        'message_thread_id = "General"',
        "message_thread_id = true",
        'api_url = "https://api.telegram.org/bot123456789:AAE-abcdefghij"',
        'api_url = "api.telegram.org"',
        'proxy = "socks5h://127.0.0.1:1080/x"',
        'silent = "false"',
    ],
)
def test_mistakes_in_telegram(tmp_path: Path, line: str) -> None:
    (told,) = mistakes(tmp_path, telegram_line(line))
    assert told.startswith(f"[telegram] {line.partition(' ')[0]}")
    assert "must" in told
    assert "AAE-abcdefghij" not in told


@pytest.mark.parametrize(
    "text",
    [
        '[markdown]\nescape_chars = ["ё"]\n',
        "[markdown]\nescape_chars = [1]\n",
        '[events]\nPUSH_ARTIFACT = "true"\n',
        "[events]\nPUSH_ARTIFACT = 1\n",
        '[schedule]\npoll = "5s"\ncron = "* * * * *"\n',
        '[schedule]\npoll = "5s"\njitter = "6s"\n',
        '[schedule]\nsweep = "59s"\n',
        '[schedule]\nsweep = "8d"\n',
        "[schedule]\nsweep = 0\n",
        "[schedule]\nsweep = false\n",
        "[schedule]\nsweep_requests = 0\n",
        "[schedule]\nsweep_requests = 3601\n",
        "[schedule]\nsweep_requests = 1.5\n",
        "[schedule]\nsweep_requests = true\n",
        '[schedule]\nsweep_requests = "many"\n',
        '[scans]\nminimum_severity = "off"\n',
        "[scans]\nminimum_severity = 3\n",
        '[scans]\nimportant = "none"\n',
        "[scans]\nimportant = false\n",
        '[scans]\nonly_fixable = "true"\n',
        "[scans]\nonly_changed = 1\n",
        '[scans]\nsbom = "yes"\n',
        '[scans]\nquiet = "-1s"\n',
        '[scans]\nquiet = "61m"\n',
        '[scans]\nquiet = "off"\n',
        '[delivery]\nmax_delay = "-1s"\n',
        '[state]\nkeep = "1h"\n',
        '[state]\nurl = "sqlite://"\n',
        '[state]\nurl = "sqlite:///"\n',
        '[state]\nurl = "sqlite:///:memory:"\n',
        '[state]\nurl = "sqlite:///file:x?mode=memory&uri=true"\n',
        '[state]\nurl = "sqlite://state.db"\n',
        '[state]\nurl = "state.db"\n',
        '[state]\nurl = "postgresql://host"\n',
        '[state]\nurl = "mysql://u:p4ssw0rd@h/x"\n',
    ],
)
def test_mistakes_in_the_other_sections(tmp_path: Path, text: str) -> None:
    section, _, rest = text.partition("\n")
    (told,) = mistakes(tmp_path, HARBOR + TELEGRAM + text)
    assert told.startswith(section)
    assert "must" in told or "keep one of them" in told
    assert "p4ssw0rd" not in told
    assert rest


def test_a_mistake_stays_on_its_line(tmp_path: Path) -> None:
    """Nobody can write a second, false line with a line break in a value or key."""
    told = mistakes(tmp_path, '"a\\nb" = 1\nlanguage = "x\\ny"\n' + HARBOR + TELEGRAM)
    assert told == [
        "a\\nb: unknown key; known here are language, timezone",
        'language = "x\\ny": must be "ru" or "en"',
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a = 1\n[b\n", "line 2, column 3: not TOML: Expected ']'"),
        (
            b"a = 1\na = 2\n",
            "line 2, column 6: not TOML: Cannot overwrite a value (is the key or section there twice?)",
        ),
        (b"verify = True\n", "line 1, column 10: not TOML: Invalid value"),
        (b"a = 1\nb = '\xff'\n", "line 2: is not UTF-8; save it as UTF-8"),
        ("a = 1".encode("utf-16"), "is saved as UTF-16; save it as UTF-8"),
        (b"a = " + b"[" * 100_000, ""),
    ],
)
def test_what_is_not_toml(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "conf.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, expected in (
        (tmp_path / "none.toml", "there is no such file"),
        (tmp_path, "is a directory; name the file in it"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert str(caught.value) == f"{path}: {expected}"


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was asked for, else ./conf.toml, else the system's; none: both places are named."""
    monkeypatch.chdir(tmp_path)
    system = tmp_path / "etc" / "conf.toml"
    monkeypatch.setattr(config, "PLACES", (Path("conf.toml"), system))

    assert find(Path("other.toml")) == Path("other.toml")
    with pytest.raises(ConfigError, match=f"neither conf.toml nor {system}"):
        find(None)
    system.parent.mkdir()
    system.touch()
    assert find(None) == system
    Path("conf.toml").touch()
    assert find(None) == Path("conf.toml")


# -- cron -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written_fields", "expected"),
    [
        ("*/5 * * * *", "*/5 * * * *"),
        ("0  3 * * 0", "0 3 * * sun"),
        ("0 3 * * 7", "0 3 * * sun"),
        ("0 3 * * 1-5", "0 3 * * mon,tue,wed,thu,fri"),
        ("0 3 * * sat-sun", "0 3 * * sun,sat"),
        ("0 3 * * FRI", "0 3 * * fri"),
        ("0 3 * 1-3,dec *", "0 3 * jan,feb,mar,dec *"),
        ("1-59/2 0,12 29 2 *", "1-59/2 0,12 29 feb *"),
    ],
)
def test_cron_names_months_and_days(written_fields: str, expected: str) -> None:
    """0 is Sunday for cron and Monday for the scheduler: names are understood alike."""
    assert cron.expression(written_fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "* * * *",
        "* * * * * *",
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/60 * * * *",
        "a * * * *",
        "1- * * * *",
        ", * * * *",
        "0 0 30 2 *",
        "0 0 L * *",
    ],
)
def test_what_is_no_cron_expression(fields: str) -> None:
    with pytest.raises(Unfit, match=r"must|allowed|nothing to count"):
        cron.expression(fields)


def test_cron_replaces_poll(tmp_path: Path) -> None:
    got = load(written(tmp_path, HARBOR + TELEGRAM + '[schedule]\ncron = "*/5 * * * *"\n'), {})
    assert got.schedule == config.Schedule(poll=None, cron="*/5 * * * *", jitter=1.0)


def test_the_references_file_is_toml() -> None:
    """Whatever the settings: a person's editor and other tools can read it too."""
    assert list(tomli.loads(REFERENCE.read_text(encoding="utf-8")))[1:] == [name for name in config.KEYS if name]
