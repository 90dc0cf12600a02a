"""Who started a job hears of its end: signed, at least once, and nobody else's machine is reached by it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs
from websockets.sync.client import connect

from sensory_pipeline.client import AudioClient
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.hosts import is_public
from sensory_pipeline.gateway import webhooks
from sensory_pipeline.gateway.job_store import Job, JobStore
from sensory_pipeline.gateway.problems import Problem
from sensory_pipeline.gateway.request_json import RequestJson
from sensory_pipeline.gateway.webhook_sender import NotDelivered, WebhookSender, signature
from sensory_pipeline.gateway.webhook_store import WebhookStore
from sensory_pipeline.gateway.webhooks import Webhooks
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import finished, gateway
from sensory_pipeline_tests.live_server import closing_of
from sensory_pipeline_tests.webhook_receiver import SECRET, Receiver, listening

HOOK = "https://example.org/hook"


def test_the_end_of_a_job_is_told_without_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"job_webhook_secret": SECRET, "job_webhook_any_address": True}
    with listening() as receiver, gateway(tmp_path / "spool", **options) as service:
        recording = tone(tmp_path / "a.wav", 777)
        with AudioClient(service.url) as client:
            good = client.submit(recording, webhook_url=receiver.url)
            bad = client.submit(recording, webhook_url=receiver.url, language="ru")
            client.submit(recording)
        assert [finished(service, one)["status"] for one in (good, bad)] == ["completed", "failed"]
        told = sorted(receiver.until(2), key=lambda job: str(job["status"]))
        assert told == [
            {"status": "completed", "job_id": good, "result": None, "error": None},
            {"status": "failed", "job_id": bad, "result": None, "error": "trivial speaks no ru"},
        ]
        assert {headers["webhook-id"] for headers in receiver.headers} == {good, bad}
        with connect(f"{service.url.replace('http', 'ws')}/v1/ws", proxy=None) as stream:
            stream.send(json.dumps({"settings": {}, "webhook_url": receiver.url}))
            code, reason, _ = closing_of(stream)
            assert (code, reason[:11]) == (4400, "webhook_url")
    logged = capsys.readouterr().out
    assert "outcome=delivered" in logged
    assert not any(secret in logged for secret in ("hush", "/hook", SECRET, SECRET[6:]))
    assert WebhookStore(tmp_path / "spool" / "jobs" / "jobs.sqlite").due(4e9, 10) == []


def stored(path: Path, *jobs: tuple[str, str, str | None]) -> JobStore:
    """Completed jobs, each with id, client and webhook."""
    store = JobStore(path)
    for identity, client, url in jobs:
        job = Job(
            id=identity,
            client=client,
            state="queued",
            request="{}",
            digest="d",
            idempotency_key=None,
            audio_s=1,
            created_s=1,
        )
        store.add(job, url)
        store.complete(identity, '{"tra": "secret words"}')
    return store


def trusting(now_s: list[float]) -> WebhookSender:
    return WebhookSender(SECRET, allowed=lambda _: True, clock=lambda: now_s[0])


def test_it_is_sent_again_until_it_is_accepted(tmp_path: Path) -> None:
    now_s, outcomes = [1e9], list[str]()
    path = tmp_path / "jobs.sqlite"

    async def day(receiver: Receiver) -> None:
        stored(path, ("a", "anna", receiver.url))
        hooks = Webhooks(WebhookStore(path), trusting(now_s), told=outcomes.append, clock=lambda: now_s[0])
        receiver.answers += [503, 302]
        assert await hooks.round() == pytest.approx(5)
        assert await hooks.round() == pytest.approx(5)
        assert len(receiver.headers) == 1
        now_s[0] += 5
        assert await hooks.round() == pytest.approx(30)  # the redirect was not followed
        now_s[0] += 30
        # by another service, after this one was stopped
        hooks = Webhooks(WebhookStore(path), trusting(now_s), told=outcomes.append, clock=lambda: now_s[0])
        assert await hooks.round() is None
        assert [headers["webhook-timestamp"] for headers in receiver.headers] == [
            "1000000000",
            "1000000005",
            "1000000035",
        ]
        assert {headers["webhook-id"] for headers in receiver.headers} == {"a"}

    with listening() as receiver:
        asyncio.run(day(receiver))
        assert [job["job_id"] for job in receiver.accepted] == ["a"]
    assert outcomes == ["failed", "failed", "delivered"]


def test_a_receiver_that_never_accepts_is_given_up(tmp_path: Path) -> None:
    now_s, outcomes = [1e9], list[str]()
    path = tmp_path / "jobs.sqlite"

    async def day(receiver: Receiver) -> None:
        stored(path, ("a", "anna", receiver.url))
        hooks = Webhooks(WebhookStore(path), trusting(now_s), told=outcomes.append, clock=lambda: now_s[0])
        receiver.answers += [500] * 20
        while (wait_s := await hooks.round()) is not None:
            now_s[0] += wait_s

    with listening() as receiver:
        asyncio.run(day(receiver))
    assert outcomes == ["failed"] * 9 + ["given_up"]
    assert 12 < (now_s[0] - 1e9) / 3600 < 24  # while the job is kept


def test_an_address_that_cannot_be_used_does_not_stop_the_webhooks_of_others(tmp_path: Path) -> None:
    now_s, outcomes = [1e9], list[str]()
    path = tmp_path / "jobs.sqlite"

    async def day(receiver: Receiver) -> None:
        stored(path, ("a", "anna", "https://a..b/"), ("b", "boris", "https://[::1/"), ("c", "clara", receiver.url))
        hooks = Webhooks(WebhookStore(path), trusting(now_s), told=outcomes.append, clock=lambda: now_s[0])
        assert await hooks.round() == pytest.approx(5)

    with listening() as receiver:
        asyncio.run(day(receiver))
        assert [job["job_id"] for job in receiver.accepted] == ["c"]
    assert sorted(outcomes) == ["delivered", "failed", "failed"]


def test_webhooks_are_sent_once_a_damaged_database_is_restored(tmp_path: Path) -> None:
    outcomes = list[str]()
    path, kept = tmp_path / "jobs.sqlite", tmp_path / "kept"

    async def day(receiver: Receiver) -> None:
        stored(path, ("a", "anna", receiver.url))
        hooks = Webhooks(WebhookStore(path), trusting([1e9]), told=outcomes.append, clock=lambda: 1e9)
        path.replace(kept)
        path.write_bytes(b"damaged " * 1000)
        async with asyncio.timeout(60):
            with capture_logs() as logged:
                running = asyncio.create_task(hooks.run())
                while not logged:
                    await asyncio.sleep(0.01)
            assert [entry["event"] for entry in logged] == ["webhooks_failed"]
            kept.replace(path)
            hooks.wake()
            while not outcomes:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})

    with listening() as receiver:
        asyncio.run(day(receiver))
    assert outcomes == ["delivered"]


class BrokenSender(WebhookSender):
    """Has a bug that shows the address."""

    async def send(self, identity: str, url: str, body: bytes) -> None:
        raise KeyError(url)


def test_a_bug_in_sending_is_logged_without_the_address(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    stored(path, ("a", "anna", HOOK))
    with capture_logs() as logged:
        asyncio.run(Webhooks(WebhookStore(path), BrokenSender(SECRET), clock=lambda: 1e9).round())
    bug, attempt = logged
    assert (bug["event"], attempt["reason"]) == ("webhook_error", "KeyError")
    assert "raise KeyError(url)" in bug["trace"][-1]
    assert HOOK not in str(logged)


class UnevenSender(WebhookSender):
    """Sends those of the job `slow` only after a while."""

    async def send(self, identity: str, url: str, body: bytes) -> None:
        if identity == "slow":
            await asyncio.sleep(0.2)


class FullStore(WebhookStore):
    """Cannot write what became of the job `quick`."""

    def remove(self, job_id: str) -> None:
        if job_id == "quick":
            raise ConfigurationError("the disk is full")
        super().remove(job_id)


def test_an_error_waits_for_the_webhooks_that_are_on_their_way(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    stored(path, ("quick", "anna", HOOK), ("slow", "anna", HOOK))
    outcomes = list[str]()
    hooks = Webhooks(FullStore(path), UnevenSender(SECRET), told=outcomes.append, clock=lambda: 1e9)
    with pytest.raises(ConfigurationError, match="the disk is full"):
        asyncio.run(hooks.round())
    assert outcomes == ["delivered"]
    assert [webhook.job_id for webhook in WebhookStore(path).due(1e9, 10)] == ["quick"]


def test_one_clients_webhooks_do_not_delay_those_of_others(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    jobs = [*((f"{number}", "anna", HOOK) for number in range(5)), ("b", "boris", HOOK), ("c", "clara", None)]
    store, hooks = stored(path, *jobs), WebhookStore(path)
    assert {webhook.job_id for webhook in hooks.due(1, 2)} == {"0", "b"}
    assert all(b"secret words" not in webhook.body for webhook in hooks.due(1, 10))
    hooks.remove("0")
    hooks.postpone("1", 50)
    assert [webhook.job_id for webhook in hooks.due(1, 10)] == ["2", "b", "3", "4"]
    assert store.remove("b", "boris")  # and its webhook with it
    store.add(
        Job(id="u", client="u", state="queued", request="", digest="", idempotency_key=None, audio_s=1, created_s=1),
        HOOK,
    )
    assert [webhook.job_id for webhook in hooks.due(99, 10)] == ["2", "3", "4", "1"]
    assert store.expire(4e9) == 6
    assert (hooks.due(99, 10), hooks.next_s()) == ([], None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"])
def test_nothing_is_sent_to_a_private_address(host: str) -> None:
    with listening() as receiver:
        with pytest.raises(NotDelivered):
            asyncio.run(WebhookSender(SECRET).send("a", f"http://{host}:{receiver.port}/", b"{}"))
        assert receiver.headers == []


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that gives another address to each question, and one that gives two."""
    answers: list[list[str]] = []
    resolve = socket.getaddrinfo

    def rebinding(host: str | None, *rest: Any, **options: Any) -> Any:
        if host != "receiver.test":
            return resolve(host, *rest, **options)
        return [entry for address in answers.pop(0) for entry in resolve(address, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with listening() as receiver:
        sender = WebhookSender(SECRET, allowed=lambda address: address == "127.0.0.1")
        url = f"http://receiver.test:{receiver.port}/"
        answers += [["127.0.0.1"], ["127.0.0.2"]]
        asyncio.run(sender.send("a", url, b'{"job_id": "a"}'))
        assert (len(receiver.accepted), receiver.headers[0]["host"]) == (1, f"receiver.test:{receiver.port}")
        assert answers == [["127.0.0.2"]]
        for refused in (["127.0.0.2"], ["127.0.0.1", "127.0.0.2"]):
            answers[:] = [refused]
            with pytest.raises(NotDelivered, match="not public"):
                asyncio.run(sender.send("a", url, b"{}"))
        assert len(receiver.headers) == 1


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(pem, pkcs8, plain))
    return paths


def test_the_name_of_a_receiver_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, key = certificate(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(trusted, key)
    with listening(tls) as receiver:
        untrusting = WebhookSender(SECRET, allowed=lambda _: True)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        sender = WebhookSender(SECRET, allowed=lambda _: True)
        asyncio.run(sender.send("a", f"https://localhost:{receiver.port}/", b"{}"))
        assert len(receiver.accepted) == 1
        for one, host in ((sender, "127.0.0.1"), (untrusting, "localhost")):
            with pytest.raises(NotDelivered):
                asyncio.run(one.send("a", f"https://{host}:{receiver.port}/", b"{}"))
        assert len(receiver.headers) == 1


def test_the_signature_is_that_of_the_standard() -> None:
    secret, identity = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    made = signature(secret, identity, 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="  # Svix, the authors of the standard


@pytest.mark.parametrize(
    ("url", "settings", "why"),
    [
        (HOOK, {"job_webhook_secret": None}, "SENSORY_JOB_WEBHOOK_SECRET"),
        ("http://example.org/", {}, "https://"),
        ("https://user:secret@example.org/", {}, "user name"),
        ("https://user:secret@example.org/", {"job_webhook_any_address": True}, "user name"),
        ("https://localhost/", {}, "not public"),
        ("https://169.254.169.254/latest", {}, "not public"),
        ("https://[::ffff:10.0.0.1]/", {}, "not public"),
        ("https://0x7f.1/", {}, "not public"),
        ("https://a..b/", {}, "no valid name"),
        (f"https://{'a' * 64}.org/", {"job_webhook_any_address": True}, "no valid name"),
        (HOOK, {}, None),
        ("http://10.0.0.1:8080/", {"job_webhook_any_address": True}, None),
    ],
)
def test_an_address_that_is_not_sent_to_is_refused(url: str, settings: dict[str, Any], why: str | None) -> None:
    asked = RequestJson.read(json.dumps({"settings": {}, "async_process": True, "webhook_url": url}).encode())
    about = ServiceSettings(**{"job_webhook_secret": SecretStr(SECRET), **settings})
    if why is None:
        webhooks.check(asked, about)
        with pytest.raises(Problem, match="only background jobs"):
            webhooks.check(asked.model_copy(update={"async_process": False}), about)
    else:
        with pytest.raises(Problem, match=why) as caught:
            webhooks.check(asked, about)
        assert list(caught.value.fields) == ["webhook_url"]
        assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://example.org/", "example.org", "file:///etc/passwd", "https://", "https:///x y"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Problem) as caught:
        RequestJson.read(json.dumps({"settings": {}, "webhook_url": url}).encode())
    assert list(caught.value.fields) == ["request_json.webhook_url"]


@pytest.mark.parametrize("secret", ["hush", "whsec_", "whsec_hush", f"{SECRET}!", "whsec_" + "A" * 100])
def test_a_weak_secret_is_refused(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORY_JOB_WEBHOOK_SECRET", secret)
    with pytest.raises(ValidationError, match="openssl rand") as caught:
        ServiceSettings()
    assert secret not in str(caught.value) or secret == "whsec_"


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.192"),
        *("192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:10.0.0.1"),
        *("64:ff9b::a00:1", "2001::1", "2001:db8::1", "2002:a00:1::", "fc00::1", "fe80::1", "fe80::1%2", "fec0::1"),
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)
