"""Where the configuration comes from, what wins, and how mistakes in it are told."""

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.config import Config, Deployment, Person, Section, load


def write(folder: Path, text: str, name: str = "gatewright.toml") -> Path:
    file = folder / name
    file.write_text(text, "utf-8")
    return file


def test_without_a_file_the_defaults_hold_in_the_folder(tmp_path: Path) -> None:
    config = load(cwd=tmp_path, environ={})

    assert config.data_dir == tmp_path / ".gatewright"
    assert config.deployments == {"support": Deployment(team="support")}
    assert config.server.port == Config().server.port


def test_the_nearest_file_above_is_found_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        'data_dir = "state"\n[deployments.desk]\ngraph = "desk.py:graph"\nrules = "rules.yaml"\n'
        '[ledger]\nkey = "secrets/ledger.key"\n',
    )
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    config = load(cwd=below, environ={})

    assert config.data_dir == tmp_path / "state"
    assert config.deployments["desk"].graph == f"{tmp_path / 'desk.py'}:graph"
    assert config.deployments["desk"].rules == tmp_path / "rules.yaml"
    assert config.ledger.key == tmp_path / "secrets" / "ledger.key"


def test_a_graph_named_by_its_module_is_left_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, '[deployments.desk]\ngraph = "desk.graphs:main"\n')

    assert load(cwd=tmp_path, environ={}).deployments["desk"].graph == "desk.graphs:main"


@given(chosen=st.sets(st.sampled_from(["file", "environment", "command line"])))
def test_the_command_line_wins_over_the_environment_over_the_file(
    tmp_path_factory: pytest.TempPathFactory, chosen: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("config")
    if "file" in chosen:
        write(folder, "[server]\nport = 1001\n")
    environ = {"GATEWRIGHT_SERVER__PORT": "1002"} if "environment" in chosen else {}
    overrides = {"server": {"port": 1003}} if "command line" in chosen else {}

    port = load(cwd=folder, environ=environ, overrides=overrides).server.port

    ranked = [("command line", 1003), ("environment", 1002), ("file", 1001)]
    assert port == next((value for name, value in ranked if name in chosen), Config().server.port)


def test_one_key_of_a_section_is_overridden_and_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path, '[server]\nhost = "::1"\nport = 1001\n')

    server = load(cwd=tmp_path, environ={"GATEWRIGHT_SERVER__PORT": "1002"}).server

    assert (server.host, server.port) == ("::1", 1002)


def test_a_variable_changes_one_key_of_the_default_deployment(tmp_path: Path) -> None:
    config = load(cwd=tmp_path, environ={"GATEWRIGHT_DEPLOYMENTS__SUPPORT__MODEL": "openai:gpt-4o"})

    assert config.deployments["support"] == Deployment(team="support", model="openai:gpt-4o")


def test_the_file_may_be_named_by_a_variable_or_an_argument(tmp_path: Path) -> None:
    one = write(tmp_path, "[server]\nport = 1001\n", "one.toml")
    two = write(tmp_path, "[server]\nport = 1002\n", "two.toml")
    environ = {"GATEWRIGHT_CONFIG": str(one)}

    assert load(cwd=tmp_path, environ=environ).server.port == 1001
    assert load(two, cwd=tmp_path, environ=environ).server.port == 1002


def test_an_unknown_key_is_refused_with_its_file_and_a_suggestion(tmp_path: Path) -> None:
    file = write(tmp_path, "[server]\nprot = 1001\n")

    with pytest.raises(UsageError, match=r"unknown key 'server.prot'; did you mean 'server.port'\?") as caught:
        load(cwd=tmp_path, environ={})

    assert str(file) in str(caught.value)


def test_an_unknown_key_of_a_deployment_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    write(tmp_path, '[deployments.desk]\nteam = "support"\nmodle = "openai:gpt-4o"\n')

    with pytest.raises(UsageError, match=r"did you mean 'deployments.desk.model'\?"):
        load(cwd=tmp_path, environ={})


def test_an_unknown_key_in_a_variable_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"environment variable GATEWRIGHT_WORKER__LEESE: .*'worker.lease'"):
        load(cwd=tmp_path, environ={"GATEWRIGHT_WORKER__LEESE": "3"})


def test_a_value_that_does_not_fit_is_named_with_its_limit(tmp_path: Path) -> None:
    write(tmp_path, "[server]\nport = 70000\n")

    with pytest.raises(UsageError, match=r"'server.port' is 70000: input should be less than or equal to 65535"):
        load(cwd=tmp_path, environ={})


def test_a_deployment_needs_a_team_or_a_graph(tmp_path: Path) -> None:
    write(tmp_path, '[deployments.desk]\nmodel = "openai:gpt-4o"\n')

    with pytest.raises(UsageError, match=r"'deployments.desk' needs either `team` or `graph`"):
        load(cwd=tmp_path, environ={})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GATEWRIGHT_DATABSE", "GATEWRIGHT_DATABASE"),
        ("GATEWRIGHT_DATADIR", "GATEWRIGHT_DATA_DIR"),
        ("GATEWRIGHT_SERVER_PORT", "GATEWRIGHT_SERVER__PORT"),
        ("GATEWRIGHT_WORKER_RUN_TIMEOUT", "GATEWRIGHT_WORKER__RUN_TIMEOUT"),
    ],
)
def test_a_variable_that_is_a_slip_of_one_of_ours_is_refused(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"environment variable {name} sets nothing; did you mean {meant}\?"):
        load(cwd=tmp_path, environ={name: "1"})


def test_variables_that_kubernetes_injects_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "GATEWRIGHT_PORT": "tcp://10.0.0.7:8420",
        "GATEWRIGHT_PORT_8420_TCP_ADDR": "10.0.0.7",
        "GATEWRIGHT_SERVICE_HOST": "10.0.0.7",
        "GATEWRIGHT_SERVER_PORT": "tcp://10.0.0.8:8420",
        "GATEWRIGHT_DATABASE_SERVICE_HOST": "10.0.0.9",
        "GATEWRIGHT_DATABASE_PORT": "tcp://10.0.0.9:5432",
    }

    assert load(cwd=tmp_path, environ=environ) == load(cwd=tmp_path, environ={})


def test_variables_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    names = ("TOKEN", "CONFIG", "CACHE", "IMAGE", "KEYS", "AGENTS", "SHARED_DATA", "MAIL_PASSWORD", "SERVICE_TOKEN")
    environ = {f"GATEWRIGHT_{name}": "" for name in names}

    assert load(cwd=tmp_path, environ=environ) == load(cwd=tmp_path, environ={})


def test_malformed_toml_is_a_usage_error_with_the_place(tmp_path: Path) -> None:
    write(tmp_path, "[server\n")

    with pytest.raises(UsageError, match=r"not valid TOML: .*line 1"):
        load(cwd=tmp_path, environ={})


def test_a_file_that_was_named_and_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"nowhere.toml"):
        load(tmp_path / "nowhere.toml", environ={})


DIGEST = "0123456789abcdef" * 4


def test_people_are_read_with_their_roles(tmp_path: Path) -> None:
    write(tmp_path, f'[people."Ada L."]\nroles = ["treasury", "ops"]\ntoken_sha256 = "{DIGEST}"\n')

    assert load(cwd=tmp_path, environ={}).people == {
        "Ada L.": Person(roles=("treasury", "ops"), token_sha256=DIGEST),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[people.a]\nrolse = []\ntoken_sha256 = "{DIGEST}"', "did you mean 'people.a.roles'"),
        (f'[people.a]\nroles = ["auditor", "ops"]\ntoken_sha256 = "{DIGEST}"', "'auditor' goes with no other"),
        (f'[people.a]\nroles = ["Two words"]\ntoken_sha256 = "{DIGEST}"', "a role 'Two words'"),
        (f'[people.service]\ntoken_sha256 = "{DIGEST}"', "'service' is no name of a person"),
        (f'[people."a\\u0007"]\ntoken_sha256 = "{DIGEST}"', "is no name of a person"),
        (f'[people.a]\ntoken_sha256="{DIGEST}"\n[people.b]\ntoken_sha256="{DIGEST}"', "the same token as people.a"),
        ("[people.a]\nroles = []", "token_sha256"),
        (
            f'[people.Kim]\ntoken_sha256="{DIGEST}"\n[people.kim]\ntoken_sha256="{DIGEST}"',
            "cannot be told from people.Kim",
        ),
        (f'[people."kim\u200b"]\ntoken_sha256 = "{DIGEST}"', "is no name of a person"),
        (f'[people."kim "]\ntoken_sha256 = "{DIGEST}"', "is no name of a person"),
        (f'[people."Jose\u0301"]\ntoken_sha256 = "{DIGEST}"', "is no name of a person"),
    ],
)
def test_people_who_could_not_be_told_apart_are_refused(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)

    with pytest.raises(UsageError, match=re.escape(said)):
        load(cwd=tmp_path, environ={})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[deployments.a.subscriptions]]\ntopick = "t"', "did you mean 'deployments.a.subscriptions.0.topic'"),
        ('[[deployments.a.subscriptions]]\ntopic = "t"\nformat = "raw"', 'needs `input` for format "raw"'),
        ('[topics."a.b"]\nlimitt = 3', "did you mean 'topics.a.b.limit'"),
        (
            '[topics.t]\ndurability = "memory"\n[ledger]\ntopic = "t"',
            "ledger.topic is 't', which keeps its messages in",
        ),
        ('bus = "redis://x"', "'bus' is 'redis://x'; write where its brokers are, as kafka://host:port,host:port"),
        ('bus = "kafka://broker"', "'bus' is 'kafka://broker'; write where its brokers are, as kafka://host:port"),
        ('[topics."a b"]\nattempts = 3', "'topics.a b' is 'a b', which is no name of a topic: 1 to 200 of letters"),
        ('[ledger]\ntopic = "a b"', "'ledger.topic' is 'a b', which is no name of a topic: 1 to 200 of letters"),
    ],
)
def test_mistakes_about_messages_are_told(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text if text.startswith("bus") else f'[deployments.a]\ngraph = "a:b"\n{text}\n')

    with pytest.raises(UsageError, match=re.escape(said)):
        load(cwd=tmp_path, environ={})


def test_a_password_in_the_address_of_the_bus_is_refused_and_not_repeated(tmp_path: Path) -> None:
    write(tmp_path, 'bus = "kafka://user:hunter2@broker:9092"')

    with pytest.raises(UsageError, match="'bus' holds a user or a password") as caught:
        load(cwd=tmp_path, environ={})

    assert "hunter2" not in str(caught.value)


def test_a_token_where_its_digest_belongs_is_refused_and_not_repeated(tmp_path: Path) -> None:
    write(tmp_path, '[people.a]\ntoken_sha256 = "gw_the-token-itself"\n')

    with pytest.raises(UsageError, match="gatewright people token") as caught:
        load(cwd=tmp_path, environ={})

    assert "itself" not in str(caught.value)


def test_the_services_token_is_nobodys_own(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    write(tmp_path, f'[server]\ntoken = "secret"\n[people.a]\ntoken_sha256 = "{digest}"\n')

    with pytest.raises(UsageError, match=r"people.a has the same token as server.token"):
        load(cwd=tmp_path, environ={})


def test_every_section_forbids_unknown_keys() -> None:
    assert all(section.model_config.get("extra") == "forbid" for section in Section.__subclasses__())


def test_several_rule_packs_are_refused_with_the_place_for_one_on_trial(tmp_path: Path) -> None:
    (tmp_path / "gatewright.toml").write_text('[deployments.x]\ngraph = "a.py:g"\nrules = ["a.yaml", "b.yaml"]\n')

    with pytest.raises(UsageError, match="name one file: a pack on trial goes under `shadow`"):
        load(cwd=tmp_path, environ={})
