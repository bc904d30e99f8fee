"""What the database itself refuses: rows of another tenant, and changes to what is never changed. Whatever is asked."""

import asyncio
import threading
from importlib.resources import files

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from continuity import postgres, restoring, roles
from continuity.api import reads
from continuity.api.assignments import Assignments
from continuity.api.reads import Reads
from continuity.config import Settings
from continuity.errors import ConfigError, Retryable
from continuity.postgres import SCHEMA
from continuity.projections import schema as tables
from continuity.projections.rebuild import RETIRED, SHADOW
from continuity.restoring import journal, snapshots
from continuity.review import checking
from continuity.review import journal as review
from continuity.review.past import SNAPSHOTS, Past
from tests.isolation.conftest import NOBODY, OURS, REFUSED_ID, THEIRS

pytestmark = pytest.mark.stack

OF_NO_TENANT = {"schema_version", "projection_offsets", "rejection_offsets", "heartbeat_offsets"}
INTAKE_TABLE = "continuity_intake.assignments"
WRITES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
NEVER_CHANGED = ("events", "step_attempts", "completed_steps", "late_results")


def tables_of(connection):
    found = connection.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname IN ('continuity', 'continuity_intake') ORDER BY 1"
    )
    return [name.removeprefix(f"{SCHEMA}.") for (name,) in found]


def count(connection, table, where="true"):
    return connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]


def test_every_table_has_rows_of_both_tenants_and_policies_or_is_of_none(shared, connected):
    everything = connected()
    names = tables_of(everything)
    assert {*OF_NO_TENANT, INTAKE_TABLE, "events", "snapshots"} < set(names)
    for name in set(names) - OF_NO_TENANT:
        secured = everything.execute(
            "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", (name,)
        )
        assert secured.fetchone()[0], name
        ids = f"workflow_id = '{shared.ours.workflow}'" if name not in _by_tenant(everything) else f"tenant = '{OURS}'"
        assert 0 < count(everything, name, ids) < count(everything, name), f"{name}: the test shows nothing"


def _by_tenant(connection):
    found = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.columns WHERE column_name = 'tenant'"
    )
    return {name.removeprefix(f"{SCHEMA}.") for (name,) in found}


@pytest.mark.parametrize("role", [roles.TENANT, roles.INTAKE])
def test_a_tenant_sees_its_rows_and_no_others(shared, connected, role):
    everything = connected()
    by_tenant = _by_tenant(everything)
    own, none, unset, blank = (connected(role, tenant) for tenant in (OURS, NOBODY, None, ""))
    for name in tables_of(everything):
        if name in OF_NO_TENANT or (name == INTAKE_TABLE and role == roles.TENANT):
            continue
        ids = f"tenant = '{OURS}'" if name in by_tenant else f"workflow_id = '{shared.ours.workflow}'"
        assert count(own, name) == count(own, name, ids) == count(everything, name, ids) > 0, name
        for other in (none, unset, blank):
            assert count(other, name) == 0, name


def test_the_login_role_itself_sees_no_tenant_unless_it_is_a_superuser(connected):
    everything = connected()
    everything.execute(sql.SQL("DROP ROLE IF EXISTS {0}").format(sql.Identifier("owner_for_a_test")))
    everything.execute("CREATE ROLE owner_for_a_test")
    with everything.transaction(force_rollback=True):
        everything.execute("GRANT USAGE ON SCHEMA continuity TO owner_for_a_test")
        everything.execute("ALTER TABLE events OWNER TO owner_for_a_test")
        assert count(everything, "events") > 0
        everything.execute("SET LOCAL ROLE owner_for_a_test")
        assert count(everything, "events") == 0
    everything.execute("DROP ROLE owner_for_a_test")


def test_who_may_write_what(connected):
    everything = connected()
    held = {
        (role, name, right)
        for role in roles.ROLES
        for name in tables_of(everything)
        for right in WRITES
        if everything.execute("SELECT has_table_privilege(%s, %s, %s)", (role, name, right)).fetchone()[0]
    }
    assert {each for each in held if each[0] in (roles.READER, roles.TENANT)} == set()
    assert {each[1:] for each in held if each[0] == roles.INTAKE} == {
        (INTAKE_TABLE, "INSERT"),
        (INTAKE_TABLE, "UPDATE"),
    }
    projector = {each[1:] for each in held if each[0] == roles.PROJECTOR}
    for name in NEVER_CHANGED:
        assert {right for table, right in projector if table == name} == {"INSERT"}, name
    assert not any(right in ("TRUNCATE", "REFERENCES", "TRIGGER") for _, right in projector)
    assert ("schema_version", "INSERT") not in projector


@pytest.mark.parametrize("table", NEVER_CHANGED)
def test_the_database_refuses_the_projector_to_change_what_is_for_ever(connected, table):
    projector, everything = connected(roles.PROJECTOR), connected()
    before = count(everything, table)
    for change in (
        f"UPDATE {table} SET workflow_id = workflow_id",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        f"DROP TABLE {table} CASCADE",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            projector.execute(change)
    assert count(projector, table) == count(everything, table) == before > 0


@pytest.mark.parametrize("role", [roles.READER, roles.TENANT, roles.INTAKE])
def test_who_reads_writes_nothing(connected, role):
    connection = connected(role, OURS)
    for name in set(tables_of(connected())) - {INTAKE_TABLE}:
        for change in (f"INSERT INTO {name} DEFAULT VALUES", f"DELETE FROM {name}", f"TRUNCATE {name}"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(change)
    for change in ("CREATE TABLE mine (x int)", "CREATE SCHEMA mine"):
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(change)


def test_the_intake_cannot_store_for_another_tenant(connected):
    intake = connected(roles.INTAKE, OURS)
    for change in (
        f"INSERT INTO {INTAKE_TABLE} (tenant, command_id, project) VALUES ('{THEIRS}', gen_random_uuid(), 'x')",
        f"UPDATE {INTAKE_TABLE} SET tenant = '{THEIRS}'",
        f"DELETE FROM {INTAKE_TABLE}",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            intake.execute(change)
    assert count(intake, INTAKE_TABLE) == 1


def test_the_projector_forgets_where_claims_of_last_week_went_for_all_tenants(connected):
    projector, everything = connected(roles.PROJECTOR), connected()
    everything.execute(f"UPDATE {INTAKE_TABLE} SET created_at = now() - interval '8 days' WHERE tenant = '{THEIRS}'")
    projector.execute("DELETE FROM continuity_intake.assignments WHERE created_at < now() - interval '7 days'")
    assert everything.execute(f"SELECT tenant FROM {INTAKE_TABLE}").fetchall() == [(OURS,)]


# Every statement that the API asks for a tenant, with the tenant that asks and the workflow of another.


def of_tenant(project, tenant):
    """The parameters of each statement, for a project whose tenant is said to be `tenant`."""
    key = (project.workflow, tenant)
    many = [project.workflow]
    seqs = [10**6]
    return {
        **dict.fromkeys(("head", "goals", "tasks", "checkpoints", "entities", "next_step"), key),
        "late_results": key,
        "projects": (tenant, "", 10),
        "first_events": (tenant, "", 10),
        "rejection": (REFUSED_ID, tenant),
        "candidates": (tenant, 10),
        "assigned": (tenant, REFUSED_ID),
        "EVENTS": (*key, 0, 10),
        "EVENTS_OF_COMMAND": (project.events[0]["command_id"], tenant),
        "restoring HEADS": (many,),
        "restoring ANY": (project.workflow,),
        "restoring FIRST": (many, [1], seqs),
        "restoring NEXT": (project.workflow, 1, 10),
        "restoring NEWEST": (many, seqs),
        "restoring OLDER": (project.workflow, 10**6),
        "restoring EXAMINED": ("00000000-0000-0000-0000-000000000000",),
        "review HEAD": key,
        "review ANY_EVENT": key,
        "review CITED": (project.workflow, 1),
        "review CHUNK": (project.workflow, 0, 10),
        "review SNAPSHOTS": (project.workflow, 10),
        "review SNAPSHOT_SEQS": (project.workflow,),
        **{f"review {table.name}": (project.workflow,) for table in checking.TABLES},
    }


STATEMENTS = {
    **{
        file.name.removesuffix(".sql"): file.read_text()
        for file in files("continuity.api").joinpath("sql").iterdir()
        if file.name.endswith(".sql") and not file.name.startswith("assign.")
    },
    "EVENTS": reads.EVENTS,
    "EVENTS_OF_COMMAND": reads.EVENTS_OF_COMMAND,
    **{
        f"{part} {name}": value
        for part, module in (
            ("restoring", journal), ("restoring", snapshots), ("review", review), ("review", checking),
        )
        for name, value in vars(module).items()
        if isinstance(value, str) and value.strip().startswith("SELECT") and name != "ROLLBACKS"
    },
    "review SNAPSHOTS": SNAPSHOTS,
    **{f"review {table.name}": table.query().decode() for table in checking.TABLES},
}  # fmt: skip


def without_tenant(statement):
    """The same statement by somebody who forgot to compare the tenant."""
    for wanted in ("w.tenant || '' = caller.tenant", "w.tenant = %s", "tenant = %s"):
        if wanted in statement:
            return statement.replace(wanted, "(true OR %s = '')" if "%s" in wanted else "true")
    return statement


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_under_the_wrong_tenant_has_no_rows(shared, connected, name):
    statement = STATEMENTS[name]
    role = roles.INTAKE if "continuity_intake" in statement else roles.TENANT
    assert connected(role, OURS).execute(statement, of_tenant(shared.ours, OURS)[name]).fetchall(), "it shows nothing"
    wrong = connected(role, NOBODY)
    assert wrong.execute(statement, of_tenant(shared.ours, NOBODY)[name]).fetchall() == []
    if name != "next_step":  # which names the tenant itself
        assert wrong.execute(statement, of_tenant(shared.ours, OURS)[name]).fetchall() == []


@pytest.mark.parametrize("name", [name for name in STATEMENTS if name.partition(" ")[0] not in ("restoring", "review")])
def test_a_statement_of_the_api_compares_the_tenant_itself(shared, connected, name):
    """The first net, with the second one taken away: a superuser sees every row."""
    assert connected().execute(STATEMENTS[name], of_tenant(shared.ours, OURS)[name]).fetchall(), "it shows nothing"
    assert connected().execute(STATEMENTS[name], of_tenant(shared.ours, NOBODY)[name]).fetchall() == []


@pytest.mark.parametrize("name", [name for name, text in STATEMENTS.items() if without_tenant(text) != text])
def test_a_statement_that_forgets_the_tenant_is_stopped_by_the_database(shared, connected, name):
    statement, parameters = without_tenant(STATEMENTS[name]), of_tenant(shared.ours, NOBODY)[name]
    role = roles.INTAKE if "continuity_intake" in statement else roles.TENANT
    assert connected().execute(statement, parameters).fetchall(), "without roles it would tell: else it shows nothing"
    assert connected(role, NOBODY).execute(statement, parameters).fetchall() == []


def test_what_is_read_back_for_the_wrong_tenant_is_nothing(shared, connected):
    wrong, right = connected(roles.TENANT, THEIRS), connected(roles.TENANT, OURS)
    assert restoring.restore(right, shared.blobs, shared.ours.workflow).state == shared.ours.state
    found = restoring.restore(wrong, shared.blobs, shared.ours.workflow)
    assert (found.state.head_seq, len(found.state.tasks)) == (0, 0)
    assert list(restoring.examined(wrong, shared.blobs)) == []
    everything = connected(roles.READER)
    look = restoring.restore_all(everything, shared.blobs, [shared.ours.workflow, shared.theirs.workflow])
    assert {key: found.state.head_seq for key, found in look.restored.items()} == {
        project.workflow: project.state.head_seq for project in (shared.ours, shared.theirs)
    }


# The services' own reads.


class Asked(Reads):
    """Lets a test look at the connections in between."""

    async def settings_left(self):
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT current_setting('continuity.tenant', true), current_user")
            return await cursor.fetchone()


def test_a_pooled_connection_forgets_the_tenant_with_each_request(shared):
    async def work():
        async with Asked(Settings(postgres_dsn=shared.dsn), connections_max=1) as asked:
            questions = (
                lambda tenant: asked.next_step(tenant, "same"),
                lambda tenant: asked.next_step(tenant, "same", for_owner="me"),
                lambda tenant: asked.state(tenant, "same"),
                lambda tenant: asked.events(tenant, "same", after_seq=0, limit=5),
                lambda tenant: asked.late_results(tenant, "same", limit=5),
                lambda tenant: asked.head_seq(tenant, "same"),
                lambda tenant: asked.projects(tenant, after="", limit=5),
                lambda tenant: asked.command(tenant, shared.ours.events[0]["command_id"]),
            )
            for question in questions:
                assert await question(OURS)
                assert await asked.settings_left() in ((None, roles.TENANT), ("", roles.TENANT))
                assert not await question(NOBODY)
            assert await asked.command(THEIRS, shared.ours.events[0]["command_id"]) is None

    asyncio.run(work())


def test_a_request_that_fails_leaves_no_tenant_behind(shared):
    async def work():
        async with Asked(Settings(postgres_dsn=shared.dsn), connections_max=1) as asked:
            with pytest.raises(Exception, match="invalid input syntax"):
                await asked.command(OURS, "no uuid")
            assert await asked.settings_left() in ((None, roles.TENANT), ("", roles.TENANT))

    asyncio.run(work())


def test_reads_that_forget_the_tenant_find_nothing(shared, monkeypatch):
    """The bug itself, in the reads of the API: their statements lose the comparison, and the answers stay the same."""
    statement = reads._statement
    monkeypatch.setattr(reads, "_statement", lambda name: without_tenant(statement(name)))
    monkeypatch.setattr(reads, "EVENTS", without_tenant(reads.EVENTS))
    monkeypatch.setattr(reads, "workflow_of", lambda _tenant, _project: shared.ours.workflow)

    async def work(asked):
        return [
            await asked.next_step(THEIRS, "same"),
            await asked.state(THEIRS, "same"),
            await asked.events(THEIRS, "same", after_seq=0, limit=5),
            await asked.late_results(THEIRS, "same", limit=5),
            await asked.head_seq(THEIRS, "same"),
        ]

    async def run(login):
        async with Reads(Settings(postgres_dsn=shared.dsn), connections_max=1) as asked:
            if login:  # as it was before there were roles
                async with asked._pool.connection() as connection:
                    await connection.execute("SET ROLE NONE")
            return await work(asked)

    assert asyncio.run(run(login=False)) == [None] * 5
    assert all(asyncio.run(run(login=True))), "the test shows nothing"


def test_a_fleet_is_offered_no_project_of_another_tenant(shared):
    async def work():
        assignments = Assignments(Settings(postgres_dsn=shared.dsn), connections_max=1)
        await assignments.start()
        try:
            async with assignments.held(NOBODY, REFUSED_ID) as held:
                assert (held.project, await held.candidates()) == (None, [])
                held._tenant = OURS  # the connection is told anew with each statement
                assert await held.candidates() == ["same"]
            assert await assignments.assigned(OURS, REFUSED_ID) == "same"
            assert await assignments.assigned(NOBODY, REFUSED_ID) is None
        finally:
            await assignments.close()

    asyncio.run(work())


def test_looking_back_as_another_tenant_is_looking_at_nothing(shared):
    past = Past(Settings(postgres_dsn=shared.dsn, blobs=str(shared.blobs._root)))
    assert past.state(OURS, "same", 3) is not None
    for asked in (
        past.state(NOBODY, "same", 3), past.explain(NOBODY, "same"), past.diff(NOBODY, "same", 1),
        past.history(NOBODY, "same", next(iter(shared.ours.state.tasks))), past.verify(NOBODY, "same"),
        past.snapshots(NOBODY, "same", limit=5), past.export(NOBODY, "same"), past.next_step(NOBODY, "same", 1),
    ):  # fmt: skip
        assert asked is None


# Making the roles and keeping them.


def access(connection, schema):
    """All that is granted and all policies, with the names of tables but not of the schema."""
    grants = connection.execute(
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relacl::text FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r' ORDER BY 1",
        (schema,),
    ).fetchall()
    connection.execute("SET search_path TO pg_catalog")  # so that all names are written out
    policies = connection.execute(
        "SELECT tablename, policyname, roles, cmd, replace(qual, 'FROM ' || schemaname || '.', 'FROM '), with_check"
        " FROM pg_policies WHERE schemaname = %s ORDER BY 1, 2",
        (schema,),
    ).fetchall()
    acl = connection.execute("SELECT nspacl::text FROM pg_namespace WHERE nspname = %s", (schema,)).fetchall()
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(SCHEMA)))
    return grants, policies, acl


def test_a_rebuild_keeps_grants_and_policies(connected):
    everything = connected()
    with everything.transaction():
        tables.install(everything, SHADOW)
    before = access(everything, SCHEMA)
    assert all(before)
    for shadow, live in zip(access(everything, SHADOW), before, strict=True):
        assert shadow == live
    for old, new in ((SCHEMA, RETIRED), (SHADOW, SCHEMA), (SCHEMA, SHADOW), (RETIRED, SCHEMA)):
        everything.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))
    own, wrong = connected(roles.TENANT, OURS), connected(roles.TENANT, NOBODY)
    assert access(everything, SCHEMA) == before
    assert count(own, "goals") > 0 == count(wrong, "goals")


@pytest.fixture
def own_roles(stack, monkeypatch):
    """Names of roles that nobody else uses, and login roles that may more or less; all gone afterwards."""
    names = tuple(f"{name}_for_a_test" for name in roles.ROLES)
    monkeypatch.setattr(roles, "ROLES", names)
    logins = ("may_create_roles", "may_nothing")

    def drop():
        with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
            for name in (*names, *logins):
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))

    drop()
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE may_create_roles LOGIN CREATEROLE PASSWORD 'x'")
        connection.execute("CREATE ROLE may_nothing LOGIN PASSWORD 'x'")
    yield names
    drop()


def login(dsn, user):
    return postgres.connect(make_conninfo(dsn, user=user, password="x", passfile="/nowhere"))


def test_a_login_that_may_make_roles_makes_them_once_and_can_become_each(database, own_roles):
    with login(database, "may_create_roles") as connection:
        roles.ensure(connection)
        roles.ensure(connection)
        for name in own_roles:
            roles.become(connection, name)
            connection.execute("RESET ROLE")
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = ANY(%s)", (list(own_roles),))
        assert found.fetchall() == [(False,)] * len(own_roles)
        inherited = "SELECT pg_has_role('may_create_roles', %s, 'USAGE')"
        assert connection.execute(inherited, (own_roles[0],)).fetchall() == [(False,)]


def test_a_login_that_may_not_is_told_exactly_what_to_run(database, own_roles):
    with login(database, "may_nothing") as connection:
        with pytest.raises(ConfigError) as refused:
            roles.ensure(connection)
        wanted = refused.value.fix.partition(": ")[2]
        with psycopg.connect(database, autocommit=True) as superuser:
            superuser.execute(wanted)
        roles.ensure(connection)
        roles.become(connection, own_roles[0])


@pytest.mark.usefixtures("own_roles")
def test_several_databases_of_one_cluster_make_the_same_roles_at_once(stack, database):
    failed = []

    def make(dsn):
        try:
            with postgres.connect(dsn) as connection:
                for _ in range(3):
                    roles.ensure(connection)
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=make, args=(dsn,)) for dsn in (stack.postgres_dsn, database) * 4]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []


@pytest.mark.usefixtures("own_roles")
def test_an_owner_that_may_only_become_the_roles_makes_the_tables(database):
    user = sql.Identifier("may_nothing")
    with psycopg.connect(database, autocommit=True) as superuser:
        roles_ = sql.SQL(", ").join(map(sql.Identifier, (roles.PROJECTOR, roles.READER, roles.TENANT, roles.INTAKE)))
        superuser.execute(sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(roles_, user))
        superuser.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(superuser.info.dbname), user)
        )
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(roles, "ROLES", (roles.PROJECTOR, roles.READER, roles.TENANT, roles.INTAKE))
            with login(database, "may_nothing") as connection:
                tables.ensure(connection)
                assert count(connection, "events") == 0
                roles.become(connection, roles.PROJECTOR)
                assert count(connection, "events") == 0
    finally:
        with psycopg.connect(database, autocommit=True) as superuser:
            superuser.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(user))


def test_a_service_that_comes_before_the_first_projector_waits_for_it(database, monkeypatch):
    monkeypatch.setattr(postgres, "ROLES", ("continuity_not_made_yet",))
    with pytest.raises(Retryable, match="not been made"):
        postgres.connect(database, role="continuity_not_made_yet")
