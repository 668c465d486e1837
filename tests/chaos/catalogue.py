"""The invariants, and every fault with its target and the test that injects it, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`tests`: `path::name` below `tests/`, or `path` alone. `missing`: what is not shown here, and why."""

    id: str
    what: str
    target: str
    tests: tuple[str, ...] = ()
    missing: str = ""


SIM = "chaos/test_simulation.py"
FAULTS = "chaos/test_faults.py"

INVARIANTS = (
    Row("I1", "every accepted upload reaches exactly one end by its deadline", "0 stuck", (SIM,)),
    Row("I2", "a result's objects exist and are those of its record", "0 dangling", (SIM, "chaos/test_torture.py")),
    Row("I3", "one commit per generation; a result never changes", "0 twice", (SIM, "unit/test_delivery_machine.py")),
    Row("I4", "states only move forward, ends stay", "0 steps back, looked at on every write", (SIM,)),
    Row("I5", "the recorded model made the bytes", "0 of another model", (SIM, "unit/test_delivery_machine.py")),
    Row("I6", "same bytes, same model, same mask", "bitwise on a CPU", ("integration/test_container.py",)),
    Row(
        "I7",
        "the right answer for the right photo in a mixed batch",
        "0 mixed up; bad neighbours change nothing",
        (SIM, "chaos/test_device.py", "unit/test_batcher.py"),
    ),
    Row(
        "I8",
        "feedback is not lost and not applied twice",
        "idempotent by its id",
        ("integration/test_api_feedback.py",),
        "training snapshots come with the learning loop",
    ),
    Row("I9", "nobody reads or writes what is another user's", "404, equal bodies", ("integration/test_api.py",)),
    Row("I10", "accepted means durable", "0 lost", ("chaos/test_crash_sweep.py", "unit/test_broker_store.py")),
    Row("I11", "the arm is a fixed function of user and experiment", "", (), "comes with the rollout"),
    Row("I12", "memory, disk and queue stay within their limits", "growth < 5 %", ("chaos/test_soak.py",)),
    Row("I13", "orphaned results and temporary files go", "0 left", (SIM, "chaos/test_soak.py", "unit/test_tidy.py")),
)

FAULT_ROWS = (
    Row(
        "F1",
        "kill -9 of random processes in mid-work",
        "≥ 1,000 kills for 2,000 photos, 0 lost, 0 committed twice",
        ("chaos/test_torture.py", "e2e/test_kills.py", "e2e/test_emulator.py"),
    ),
    Row(
        "F2",
        "a crash at every durable step",
        "0 violations at every k",
        (f"{SIM}::test_every_call_may_fail_once_or_be_the_last", "chaos/test_crash_sweep.py"),
        "feedback, rollout shift and publishing a model are not swept",
    ),
    Row(
        "F3",
        "a kill between object and document",
        "done within lease + 5 s, orphan removed",
        (f"{FAULTS}::test_f3_a_kill_beside_any_step_costs_one_lease",),
    ),
    Row(
        "F4",
        "the write happened, the caller sees a timeout",
        "clean at 10 % of all calls",
        (f"{FAULTS}::test_f4_every_tenth_answer_may_get_lost",),
    ),
    Row(
        "F5",
        "2, 10, 50 deliveries at the same instant",
        "1 run, 1 commit, the others 429 or ack",
        (
            f"{FAULTS}::test_f5_many_deliveries_at_once_are_one_run_and_one_commit",
            "integration/test_container_queue.py::test_many_deliveries_at_once_each_end_once",
        ),
    ),
    Row(
        "F6",
        "out of order, or the object is gone",
        "newest generation wins; SOURCE_MISSING within 60 s",
        (f"{FAULTS}::test_f6_the_newest_generation_wins_and_a_missing_object_ends",),
    ),
    Row(
        "F7",
        "redelivery while the first still works",
        "1 commit",
        (f"{FAULTS}::test_f7_a_copy_that_comes_while_the_first_works_never_commits_too",),
    ),
    Row(
        "F8",
        "SIGSTOP for two leases, then SIGCONT",
        "1 commit, the recorded model's bytes",
        (
            f"{FAULTS}::test_f8_f29_who_sleeps_or_is_cut_off_for_two_leases_is_fenced",
            "chaos/test_processes.py::test_f8_an_instance_that_sleeps_for_two_leases_commits_nothing_twice",
        ),
    ),
    Row(
        "F9",
        "a photo that kills its worker",
        "POISON after exactly 3 claims, every neighbour succeeds, ≤ 3 N restarts",
        (
            f"{FAULTS}::test_f9_a_photo_that_kills_its_worker_is_set_aside_and_takes_nobody_with_it",
            "chaos/test_device.py",
        ),
    ),
    Row(
        "F10",
        "malformed envelopes",
        "no 5xx loop: logged once, acked",
        (
            "unit/test_envelope.py::test_every_odd_body_is_malformed",
            "integration/test_container_queue.py::test_a_delivery_that_nobody_can_read_is_acknowledged",
            "integration/test_functions.py::test_malformed_notifications_are_logged_and_acked",
        ),
    ),
    Row(
        "F11",
        "minutes of 429: one place for all photos",
        "0 dead-lettered, 0 claims charged",
        (f"{FAULTS}::test_f11_refusals_dead_letter_nothing",),
    ),
    Row(
        "F12",
        "the broker is killed; its data is lost",
        "0 lost; queued again within two sweeps",
        (
            "e2e/test_kills.py",
            "chaos/test_processes.py::test_f12_a_queue_that_is_gone_is_filled_again",
            "unit/test_broker_store.py::test_a_new_file_says_that_the_queue_was_lost_until_it_is_heard",
        ),
    ),
    Row(
        "F13",
        "contention on half of all writes, a store that is down for 30 s",
        "0 lost, no photo fails",
        (
            f"{FAULTS}::test_f13_contention_and_a_store_that_is_down_for_30_s_fail_no_photo",
            "unit/test_google_errors.py",
        ),
    ),
    Row(
        "F14",
        "a hot document",
        "no lost update",
        ("contract/test_documents_contract.py::test_compare_and_set_loses_no_update",),
        "200 writers at once and 10,000 uploads of one user on Firestore: needs the cloud",
    ),
    Row(
        "F15",
        "Cloud Storage 503, 429, resets, wrong checksums",
        "retried a bounded number of times; a mismatch is never decoded",
        (
            "integration/test_google_objects.py::test_passing_faults_pass",
            "integration/test_google_objects.py::test_bytes_that_changed_on_the_way_are_not_believed",
            "chaos/test_disk.py::test_f15_f17_bytes_that_do_not_match_their_checksum_are_never_handed_out",
        ),
    ),
    Row(
        "F16",
        "the disk is full",
        "nothing half-stored, all acknowledged data readable, goes on once there is room",
        ("chaos/test_disk.py::test_f16_a_full_disk_refuses_keeps_what_it_took_and_goes_on",),
        "deleting needs room, too: SQLite's log grows before it shrinks",
    ),
    Row(
        "F17",
        "damaged databases and files",
        "a clear error, never a silent new start",
        (
            "chaos/test_disk.py::test_f17_a_damaged_database_is_said_and_never_begun_anew",
            "unit/test_broker_store.py::test_a_damaged_file_is_refused_with_advice",
        ),
        "exhausted descriptors and threads are not injected",
    ),
    Row(
        "F18",
        "slow clients",
        "cut after 30 s",
        ("unit/test_object_intake.py",),
        "only silent uploads are cut; slow headers and readers that never read are not injected",
    ),
    Row(
        "F19",
        "2,000 uploads meet no instance, 20 s of model load",
        "0 lost, 0 dead-lettered, drained in 1.3 × work + load",
        (f"{FAULTS}::test_f19_a_herd_meets_no_instance",),
    ),
    Row(
        "F20",
        "a batch does not fit into memory",
        "split in the same claim, limit learnt, every member ends",
        ("chaos/test_device.py", "unit/test_batcher.py", "integration/test_push.py"),
        "a real GPU's memory after it",
    ),
    Row(
        "F21",
        "a sticky device error",
        "the process ends, its work is recovered",
        (
            "chaos/test_device.py",
            "integration/test_push.py::test_a_broken_device_ends_the_instance_and_the_photo_is_tried_elsewhere",
        ),
        "a real CUDA context",
    ),
    Row(
        "F22",
        "a model that cannot be loaded",
        "refused with its reason",
        ("unit/test_bundle.py",),
        "the old version keeps serving: comes with the rollout",
    ),
    Row(
        "F23",
        "clocks ± 5 min, and one that jumps back by an hour",
        "no lease is stolen",
        (f"{FAULTS}::test_f23_wrong_clocks_steal_no_lease",),
        "a deadline is counted by the clock of who accepts the photo",
    ),
    Row("F24", "a training job is killed", "", (), "comes with retraining"),
    Row("F25", "the rollout is killed in mid-shift", "", (), "comes with the rollout"),
    Row("F26", "a bad canary", "", (), "comes with the rollout"),
    Row(
        "F27",
        "SIGTERM under load",
        "stops in < 10 s, gives back, nobody waits for a lease",
        (
            "integration/test_container_queue.py::test_what_an_instance_cannot_finish_before_it_stops_it_gives_back",
            "chaos/test_processes.py::test_f27_a_stop_under_load_loses_nothing_and_waits_for_no_lease",
        ),
    ),
    Row("F28", "upgrade and downgrade under load", "", (), "there is no earlier release yet"),
    Row(
        "F29",
        "a partition between worker and stores for two leases",
        "as F8",
        (f"{FAULTS}::test_f8_f29_who_sleeps_or_is_cut_off_for_two_leases_is_fenced",),
        "in the simulation, not on a network",
    ),
    Row(
        "F30",
        "soak: valid and hostile photos mixed",
        "growth < 5 % after the warm-up, descriptors constant, no temporary file",
        ("chaos/test_soak.py",),
    ),
    Row(
        "F31",
        "every seventh notification is lost",
        "found within 5 min",
        (f"{FAULTS}::test_f31_lost_events_are_found_in_five_minutes",),
    ),
    Row(
        "F32",
        "our own output as an event",
        "0 runs",
        ("unit/test_accept.py::test_events_of_other_buckets_are_ignored", "unit/test_settings.py"),
    ),
)
