"""Coming in and going out: passwords, sessions, links; what an attacker tries with them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from agent.domain.errors import Conflict, InvalidInput, NotAllowed
from agent.domain.signing import SignIn
from agent.pipeline import codes, passwords, people, sessions, set_up
from agent.store.tables import AuditEvent, OneTimeCode, Person, WebSession
from tests.agent.conftest import Bench
from tests.agent.doors.signing.conftest import HOST, PASSWORD, Place, bearer

pytestmark = pytest.mark.usefixtures("fast_passwords")


def test_nobody_signs_in_until_there_is_somebody_and_then_everybody_does(place: Place) -> None:
    browser = place.visitor()
    assert browser.get("/", follow_redirects=False).status_code == 200
    assert browser.get("/sign-in", follow_redirects=False).headers["location"] == "/"
    place.person("ann", "admin", password=True)
    away = browser.get("/incidents/i-1?x=1", follow_redirects=False)
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=%2Fincidents%2Fi-1%3Fx%3D1")
    refused = browser.get("/api/v1/models")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="watchkeeper"')
    inside = browser.sign_in("ANN ", next="/incidents/i-1")
    assert (inside.status_code, inside.headers["location"]) == (303, "/incidents/i-1")
    assert browser.who == "ann"
    assert browser.get("/api/v1/models").status_code == 200


def test_a_cookie_is_for_this_server_alone_and_read_by_no_script(bench: Bench) -> None:
    place = Place(bench)
    place.person("ann", password=True)
    plain = place.visitor().sign_in("ann").headers["set-cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=lax" in plain
    assert "Domain" not in plain
    secure = Place(bench)
    secure.services = secure.app.state.services = type(secure.services)(
        **{
            **{f: getattr(secure.services, f) for f in secure.services.__dataclass_fields__},
            "public_url": "https://w.example",
        }
    )
    browser = secure.visitor()
    browser.base_url = "https://127.0.0.1:8000"
    named = browser.sign_in("ann").headers["set-cookie"]
    assert "__Host-watchkeeper=" in named
    assert "Secure" in named


def test_a_session_that_was_planted_before_opens_nothing_after_signing_in(place: Place) -> None:
    place.person("ann", password=True)
    browser = place.visitor()
    planted = "p" * 43
    browser.cookies.set("watchkeeper", planted)
    answer = browser.sign_in("ann")
    fresh = answer.cookies["watchkeeper"]
    assert fresh != planted
    attacker = place.visitor()
    attacker.cookies.set("watchkeeper", planted)
    assert attacker.who == ""
    second = place.visitor()
    second.cookies.set("watchkeeper", fresh)
    again = second.form("/sign-in", {"name": "ann", "password": PASSWORD, "again": "1"}, page="/sign-in?again=true")
    assert again.status_code == 303
    old = place.visitor()
    old.cookies.set("watchkeeper", fresh)
    assert old.who == "", "the session before it has ended"


def test_no_secret_stands_in_the_database(place: Place) -> None:
    ann = place.person("ann", password=True)
    browser = place.visitor()
    secret = browser.sign_in("ann").cookies["watchkeeper"]
    made = place.token("ann", "read")
    with place.services.store.write() as session:
        code = people.make_link_code(session, place.services, ann)
    with place.services.store.read() as session:
        everything = repr(
            [
                [getattr(row, column.key) for column in row.__table__.columns]
                for table in (Person, WebSession, OneTimeCode, AuditEvent)
                for row in session.scalars(select(table))
            ]
        )
    for one in (secret, made.secret, code, code.replace("-", ""), PASSWORD):
        assert one not in everything


@pytest.mark.parametrize("name", ["ann", "nobody", "", "u-1", "x" * 5000, "\x00", "' OR 1=1 --"])
def test_a_wrong_name_and_a_wrong_password_are_the_same_answer_and_the_same_work(
    place: Place, name: str, monkeypatch
) -> None:
    place.person("ann", password=True)
    place.person("gone", password=True)
    place.deactivate("gone")
    verified: list[str] = []

    class Counted:
        def __init__(self, real) -> None:
            self.real = real

        def verify(self, known: str, plain: str) -> bool:
            verified.append(known)
            return self.real.verify(known, plain)

        def __getattr__(self, what: str):
            return getattr(self.real, what)

    monkeypatch.setattr(passwords, "HASHER", Counted(passwords.HASHER))
    said = set()
    for who, password in ((name, "wrong" * 4), ("nobody", "wrong" * 4), ("gone", PASSWORD)):
        answer = place.visitor(client=(f"10.0.0.{len(verified)}", 1)).sign_in(who, password)
        said.add((answer.status_code, passwords.LONGEST and "do not belong together" in answer.text))
    assert said == {(403, True)}
    assert len(verified) == 3, "one verification each, whoever was asked for"


def test_the_hash_for_nobody_costs_what_the_others_cost() -> None:
    import importlib

    real = importlib.reload(passwords) if passwords.HASHER.memory_cost == 8 else passwords
    assert not real.HASHER.check_needs_rehash(real.NOBODYS)
    assert (real.HASHER.memory_cost, real.HASHER.time_cost) == (64 * 1024, 3)


def test_a_password_is_hashed_anew_when_the_parameters_have_grown(place: Place, monkeypatch) -> None:
    from argon2 import PasswordHasher

    ann = place.person("ann", password=True)
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert passwords.who(place.services, "ann", PASSWORD) is not None
    with place.services.store.read() as session:
        assert "m=16,t=2" in session.get_one(Person, ann.id).password
    assert passwords.who(place.services, "ann", PASSWORD) is not None


@pytest.mark.parametrize("bad", ["short", "a" * 40, "annannannann", "x" * 501, " " * 20, "abcabcabcabcabc"])
def test_a_poor_password_is_refused_and_the_link_goes_on(place: Place, bad: str) -> None:
    link = set_up.first_link(place.services)
    code = link.partition("code=")[2]
    with pytest.raises(InvalidInput, match="password"):
        set_up.redeem(place.services, "setup", code, name="ann", password=bad)
    assert set_up.redeem(place.services, "setup", code, name="ann", password=PASSWORD).role == "admin"


def test_the_first_link_makes_one_admin_once(place: Place, clock) -> None:
    first, second = set_up.first_link(place.services), set_up.first_link(place.services)
    browser = place.visitor()
    assert browser.get(first.removeprefix(HOST)).status_code == 403, "a new link ends the one before it"
    path = second.removeprefix(HOST)
    code = second.partition("code=")[2]
    clock.advance("25h")
    assert browser.get(path).status_code == 403
    clock.advance(timedelta(hours=-25))
    fields = {"code": code, "for": "setup", "name": "ann", "password": PASSWORD, "again": PASSWORD}
    assert browser.form("/set-up", {**fields, "again": "another thing entirely"}, page=path).status_code == 422
    done = browser.form("/set-up", fields, page=path)
    assert (done.status_code, done.headers["location"], browser.who) == (303, "/profile", "ann")
    late = place.visitor()
    assert late.get(path).status_code == 403
    with pytest.raises(NotAllowed):
        set_up.redeem(place.services, "setup", code, name="eve", password=PASSWORD)
    with pytest.raises(NotAllowed, match="first person"):
        set_up.redeem(
            place.services,
            "setup",
            set_up.first_link(place.services).partition("code=")[2],
            name="eve",
            password=PASSWORD,
        )


def test_a_link_for_somebody_sets_their_password_and_no_other(place: Place) -> None:
    ann, ben = place.person("ann", "admin"), place.person("ben")
    browser = place.signed_in(ben)
    with place.services.store.write() as session:
        link = set_up.password_link(session, place.services, ben)
    path, code = link.removeprefix(HOST), link.partition("code=")[2]
    page = browser.get(path)
    assert "Welcome, ben" in page.text
    fields = {"code": code, "for": "password", "name": "ann", "password": PASSWORD, "again": PASSWORD}
    assert browser.form("/set-up", fields, page=path).status_code == 303
    assert passwords.who(place.services, "ben", PASSWORD) is not None
    assert passwords.who(place.services, "ann", PASSWORD) is None
    with place.services.store.read() as session:
        live = sessions.live(session, session.get_one(Person, ben.id), place.services.wall())
        assert [row.how for row in live] == ["set-up link"], "the sessions from before have ended"
    assert ann.id != ben.id


def test_sessions_end_idle_old_by_hand_and_everywhere(place: Place, clock) -> None:
    ann = place.person("ann", password=True)
    browser = place.signed_in(ann)
    for _ in range(16):
        clock.advance("11h")
        if clock() < ann.created_at + sessions.LIFE:
            assert browser.who == "ann"
    assert browser.who == "", "seven days are the end of it, however busy it was"
    idle = place.signed_in(ann)
    clock.advance("13h")
    assert idle.who == ""
    here, there, other = (place.signed_in(ann) for _ in range(3))
    page = here.get("/profile").text
    assert page.count('/end"') == 3
    ours = here.get("/profile").text.split('class="chosen"')[1].split("/profile/sessions/")[1].split("/end")[0]
    theirs = next(part.split("/end")[0] for part in page.split("/profile/sessions/")[1:] if not part.startswith(ours))
    assert here.form(f"/profile/sessions/{theirs}/end", page="/profile").status_code == 303
    assert sorted([here.who, there.who, other.who]) == ["", "ann", "ann"]
    assert here.form("/profile/sign-out-everywhere", page="/profile").status_code == 303
    assert [here.who, there.who, other.who] == ["", "", ""]
    last = place.signed_in(ann)
    assert last.form("/sign-out", page="/profile").headers["location"] == "/sign-in"
    assert last.who == ""


def test_nobody_ends_the_session_of_another(place: Place) -> None:
    ann, ben = place.person("ann", "admin"), place.person("ben", "admin")
    place.signed_in(ann)
    with place.services.store.read() as session:
        wanted = session.scalar(select(WebSession.id).where(WebSession.person_id == ann.id))
    assert place.signed_in(ben).form(f"/profile/sessions/{wanted}/end", page="/profile").status_code == 404


def test_who_is_deactivated_is_out_at_once(place: Place) -> None:
    place.person("root", "admin")
    ann = place.person("ann", "approver", password=True)
    browser, made = place.signed_in(ann), place.token("ann", "read")
    assert browser.get("/api/v1/models").status_code == 200
    assert place.visitor().get("/api/v1/models", headers=bearer(made)).status_code == 200
    with place.services.store.write() as session:
        code = people.make_link_code(session, place.services, ann)
        people.bind(session, place.services, ann, "slack", "T1/U1")
    place.deactivate("ann")
    assert browser.get("/api/v1/models").status_code == 401
    assert place.visitor().get("/api/v1/models", headers=bearer(made)).status_code == 401
    assert place.visitor().sign_in("ann").status_code == 403
    with place.services.store.write() as session:
        with pytest.raises(NotAllowed):
            people.redeem_link_code(session, place.services, code, "slack", "T1/U2")
        assert people.person_of(session, "slack", "T1/U1").active is False


def test_the_last_admin_stays(place: Place) -> None:
    place.person("ann", "admin")
    with pytest.raises(Conflict, match="only admin"):
        place.deactivate("ann")
    with place.services.store.write() as session, pytest.raises(Conflict, match="only admin"):
        people.change(session, place.services, people.by_name(session, "ann"), role="viewer", by="test")


def test_a_code_binds_one_identity_once(place: Place, clock) -> None:
    ann, ben = place.person("ann"), place.person("ben")

    def made(person: Person) -> str:
        with place.services.store.write() as session:
            return people.make_link_code(session, place.services, person)

    def redeemed(code: str, key: str) -> str:
        with place.services.store.write() as session:
            return people.redeem_link_code(session, place.services, code, "slack", key).name

    first = made(ann)
    assert redeemed(first.upper().replace("-", " "), "T1/U1") == "ann"
    with pytest.raises(NotAllowed, match="used already"):
        redeemed(first, "T1/U9")
    old = made(ann)
    clock.advance("11m")
    with pytest.raises(NotAllowed):
        redeemed(old, "T1/U2")
    replaced, fresh = made(ann), made(ann)
    with pytest.raises(NotAllowed):
        redeemed(replaced, "T1/U2")
    assert redeemed(fresh, "T1/U2") == "ann"
    with pytest.raises(Conflict, match="belongs to 'ann'"):
        redeemed(made(ben), "T1/U1")
    with place.services.store.read() as session:
        assert people.person_of(session, "slack", "T1/U2").name == "ann"
        assert people.person_of(session, "slack", "T2/U2") is None
        assert people.person_of(session, "oidc", "T1/U2") is None
        assert len(codes.ALPHABET) ** codes.SHORT > 2**58


@pytest.mark.parametrize("name", ["", "  ", "watchkeeper", "Policy", "x" * 101, "\u202e"])
def test_some_names_are_nobodys(place: Place, name: str) -> None:
    with pytest.raises(InvalidInput):
        place.person(name)
    place.person("Ann")
    with pytest.raises(Conflict, match="one name"):
        place.person(" ａｎｎ")


def test_a_server_that_others_reach_is_never_open(bench: Bench) -> None:
    place = Place(bench, sign_in=SignIn(required=True))
    assert place.visitor().get("/", follow_redirects=False).status_code == 303
    assert place.visitor().get("/api/v1/models").status_code == 401
    assert place.visitor().get("/healthz").status_code == 200
    assert place.visitor().sign_in("admin", "admin").status_code == 403, "there is no default password"


def test_sign_in_is_fresh_for_ten_minutes(place: Place, clock) -> None:
    ann = place.person("ann")
    with place.services.store.write() as session:
        row = sessions.open_session(session, place.services, ann, how="password").row
    assert sessions.is_fresh(row, clock())
    assert not sessions.is_fresh(row, clock() + timedelta(minutes=10))
