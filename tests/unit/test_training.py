"""Training on toy photos: what a set does not label costs nothing, runs repeat and go on, bundles come out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inference_container import bundle, evaluation
from inference_container.readout import raised
from inference_container.training import __main__ as command
from inference_container.training import dataset, loop
from inference_container.training.augment import inside, paste, view, window
from inference_container.training.dataset import ANYTHING, BACKGROUND, CAT, PERSON, Photo
from inference_container.training.draws import Draws, Plan
from inference_container.training.loss import agreement_loss, log_weights, partial_label_loss

Row = tuple[str, str, str, str]  # name, class, split, source


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    torch.set_flush_denormal(False)  # the command sets it for its process; Hypothesis needs subnormal floats


def toy_set(root: Path, name: str, rows: list[Row], values: tuple[int, ...]) -> None:
    """Photos of a bright disc on dark noise; its mask value is `values[0]`, a frame of `values[1]` if there is one."""
    for folder in ("images", "masks"):
        (root / name / folder).mkdir(parents=True)
    with (root / name / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "class", "split", "source"), *rows])
    rng = np.random.default_rng(3)
    for row in rows:
        y, x = np.mgrid[:64, :80]
        disc = (x - rng.integers(25, 55)) ** 2 + (y - 32) ** 2 < 20**2
        mask = np.where(disc, values[0], 0).astype(np.uint8)
        mask[:2] = values[1] if len(values) > 1 else 0
        pixels = rng.integers(0, 60, (64, 80, 3)) + np.where(disc, 180, 0)[..., None]
        Image.fromarray(pixels.astype(np.uint8)).save(root / name / "images" / f"{row[0]}.jpg")
        Image.fromarray(mask).save(root / name / "masks" / f"{row[0]}.png")


@pytest.fixture(name="data")
def toys(tmp_path: Path) -> Path:
    pets = [(f"cat{i}", "cat", "trainval" if i < 5 else "test", "toy") for i in range(8)]
    people = [(f"person{i}", "person", "trainval" if i < 5 else "test", "toy") for i in range(8)]
    toy_set(tmp_path / "data", "pets", pets, (1, 255))
    toy_set(tmp_path / "data", "people", people, (2,))
    return tmp_path / "data"


def certain(index: int) -> torch.Tensor:
    """Logits (1, 4, 2, 2) of a network that is sure of one class everywhere."""
    return torch.eye(4)[index].view(1, 4, 1, 1).expand(1, 4, 2, 2) * 30


def loss_of(index: int, bits: int) -> float:
    return float(partial_label_loss(certain(index), torch.full((1, 2, 2), bits, dtype=torch.uint8), log_weights()))


def test_masks_become_sets_of_possible_classes(data: Path) -> None:
    photos = dataset.load(data)
    assert len(photos) == 10
    seen = [set(np.unique(np.asarray(photo.target))) for photo in photos]
    assert seen[0] == {CAT, BACKGROUND | PERSON, ANYTHING}
    assert seen[-1] == {PERSON, BACKGROUND}


def test_unknown_mask_values_carry_no_loss() -> None:
    assert dataset.lookup("people")[77] == ANYTHING


def test_right_answers_cost_nothing_and_wrong_ones_much() -> None:
    assert loss_of(2, CAT) == pytest.approx(0, abs=1e-3)
    assert loss_of(0, BACKGROUND | PERSON) == pytest.approx(0, abs=1e-3)
    assert loss_of(2, BACKGROUND | PERSON) > 10
    assert loss_of(0, CAT) > 10


def test_an_unlabelled_person_costs_a_little_and_an_unlabelled_pixel_nothing() -> None:
    allowed = loss_of(1, BACKGROUND | PERSON)
    assert loss_of(0, BACKGROUND | PERSON) < allowed < loss_of(2, BACKGROUND | PERSON) / 4
    for index in range(4):
        assert loss_of(index, ANYTHING) == pytest.approx(0, abs=1e-3)


def test_loss_has_finite_gradients_where_the_network_is_surely_wrong() -> None:
    logits = certain(3).clone().requires_grad_()
    partial_label_loss(logits, torch.full((1, 2, 2), CAT, dtype=torch.uint8), log_weights()).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_best_logits_are_those_that_serving_shows_in_the_right_place() -> None:
    edge = torch.full((1, 8, 8), BACKGROUND, dtype=torch.uint8)
    edge[..., 4:] = CAT

    def loss(first: int) -> float:
        right = torch.arange(4) >= first
        logits = torch.stack([~right, torch.zeros(4), right, torch.zeros(4)]).float().view(1, 4, 1, 4) * 9
        return float(partial_label_loss(raised(logits.expand(1, 4, 4, 4), 2), edge, log_weights()))

    assert loss(2) < min(loss(1), loss(3)) / 3


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn_from_it() -> None:
    assert float(agreement_loss(certain(1), certain(1))) == pytest.approx(0, abs=1e-6)
    assert float(agreement_loss(certain(1), certain(2))) == pytest.approx(30, rel=1e-2)


def test_views_have_the_asked_shape_and_only_known_labels(data: Path) -> None:
    photos = dataset.load(data)
    rng = np.random.default_rng(0)
    for index in range(60):
        image, bits = view(lambda: photos[int(rng.integers(len(photos)))], (96, 64), rng)
        assert image.shape == (64, 96, 3), index
        assert bits.shape == (64, 96)
        assert image.dtype == bits.dtype == np.uint8
        assert set(np.unique(bits)) <= {CAT, PERSON, BACKGROUND | PERSON, BACKGROUND, ANYTHING}


def test_photo_and_labels_move_together() -> None:
    left = np.zeros((64, 64, 3), np.uint8)
    left[:, :32] = 255
    target = Image.fromarray(np.where(left[..., 0] > 0, CAT, BACKGROUND | PERSON).astype(np.uint8))
    photo, rng = Photo(Image.fromarray(left), target, 1.0), np.random.default_rng(1)
    for _ in range(40):
        image, bits = view(lambda: photo, (64, 64), rng)
        agree = (image.mean(2) > 128) == (bits == CAT)
        assert agree[bits != ANYTHING].mean() > 0.9


def test_windows_lie_inside_the_photo() -> None:
    rng = np.random.default_rng(2)
    corner = (25, 0, 33, 30)
    for size, hair in (((300, 256), None), ((256, 400), corner), ((33, 900), corner)):
        for _ in range(50):
            photo = Photo(Image.new("RGB", size), Image.new("L", size), 1.0, hair)
            left, top, right, bottom = window(photo, (96, 64), rng)
            assert 0 <= left < right <= size[0] + 1e-6
            assert 0 <= top < bottom <= size[1] + 1e-6


def test_what_rounding_put_outside_of_a_photo_is_cut_off() -> None:
    assert inside((-7e-15, 1.0, 90.00000001, 32.0), (90, 33)) == (0.0, 1.0, 90.0, 32.0)
    assert inside((2.0, -7e-15, 80.0, 33.00000001), (90, 33)) == (2.0, 0.0, 80.0, 33.0)


def test_views_of_a_face_as_high_as_its_photo_can_be_drawn() -> None:  # some windows begin at -3e-14
    size = (301, 211)
    portrait = Photo(Image.new("RGB", size), Image.new("L", size, PERSON), 1.0, (0, 0, 300, 211))
    rng = np.random.default_rng(5)
    for _ in range(1000):
        image, bits = view(lambda: portrait, (16, 16), rng)
        assert image.shape[:2] == bits.shape == (16, 16)


def test_turned_views_hold_nothing_but_the_photo() -> None:
    white = Photo(Image.new("RGB", (40, 60), "white"), Image.new("L", (40, 60), PERSON), 1.0)
    rng = np.random.default_rng(6)
    for shape in ((48, 32), (16, 64)):
        for _ in range(100):
            image, bits = view(lambda: white, shape, rng)
            assert (bits == PERSON).all()
            assert image.min() > 90  # darker than any look makes white: a corner that the turn left empty


def test_a_pasted_object_brings_its_label_and_its_unsure_border() -> None:
    base = (Image.new("RGB", (3, 1)), Image.new("L", (3, 1), BACKGROUND | PERSON))
    labels = np.array([[PERSON, ANYTHING, BACKGROUND]], np.uint8)
    image, bits = paste(base, (Image.new("RGB", (3, 1), (9, 9, 9)), Image.fromarray(labels)))
    assert np.asarray(image)[0, :, 0].tolist() == [9, 9, 0]
    assert np.asarray(bits).tolist() == [[PERSON, ANYTHING, BACKGROUND | PERSON]]


def test_a_border_without_an_object_is_not_pasted() -> None:
    base = (Image.new("RGB", (3, 1)), Image.new("L", (3, 1), BACKGROUND))
    assert paste(base, (Image.new("RGB", (3, 1)), Image.new("L", (3, 1), ANYTHING))) is base


def test_faces_fill_some_views_of_people() -> None:
    image, rng = Image.new("RGB", (256, 384)), np.random.default_rng(4)
    photo = Photo(image, Image.new("L", image.size, PERSON), 1.0, (120, 20, 140, 44))
    boxes = [window(photo, (96, 96), rng) for _ in range(300)]
    close = [box for box in boxes if box[2] - box[0] < 97 and box[0] < 120 and box[2] > 140 and box[1] < 44]
    assert 15 < len(close) < 60
    assert all(np.isclose(right - left, (bottom - top), rtol=0.45) for left, top, right, bottom in close)


def test_batches_are_numbered_and_repeat(data: Path) -> None:
    draws = Draws(dataset.load(data), Plan(4, 4, 7, ((0.0, 32), (0.5, 64))))
    assert len(draws) == 10
    photos, bits = draws[9]
    assert photos.shape[:2] == (4, 3)
    assert bits.shape[1:] == photos.shape[2:]
    assert photos.shape[2:] > draws[0][0].shape[2:]
    assert torch.equal(draws[9][0], photos)
    assert not torch.equal(draws[8][0].float().mean(), photos.float().mean())


def test_rate_warms_up_and_falls() -> None:
    rates = [loop.learning_rate(share, 2e-3) for share in np.linspace(0, 1, 50)]
    assert max(rates) <= 2e-3
    assert rates[0] < rates[2] > rates[25] > rates[-1] > 0


@pytest.mark.parametrize("teacher", [None, "compact-v1"])
def test_an_interrupted_run_ends_as_a_whole_one(data: Path, tmp_path: Path, teacher: str | None) -> None:
    class StopError(Exception):
        pass

    def stop(_: str) -> None:
        raise StopError

    photos, plan = dataset.load(data), Plan(2, 5, 1, ((0.0, 32),))
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()

    def run(name: str, say: loop.Say) -> torch.nn.Module:
        return loop.Run("compact-v1", photos, plan, tmp_path / name, teacher=teacher).train(0, say)

    whole = run("whole", lambda _: None)
    with pytest.raises(StopError):
        run("parts", stop)
    parts = run("parts", lambda _: None)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value, msg=key)


def test_the_command_learns_the_toy_and_writes_an_evaluated_bundle(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = "--passes 24 --batch 4 --sizes 0:64 --workers 1 --seed 1"
    command.main(["--data", str(data), "--out", str(out), *options.split()])
    sheets = [tmp_path / "sheets" / f"{name}-{which}.jpg" for name in ("pets", "people") for which in ("worst", "best")]
    shown = ["--pictures", str(tmp_path / "sheets"), "--bootstrap", "50"]
    evaluation.main(["--data", str(data), "--model", str(out / "bundle"), *shown])
    assert sorted((tmp_path / "sheets").iterdir()) == sorted(sheets)
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["test"]["pets"]["foregroundIoU"] > 0.6
    low, high = report["bootstrap"]["pets"]["foregroundIoU"]
    assert low <= report["test"]["pets"]["foregroundIoU"] <= high
    manifest = bundle.read_manifest(out / "bundle")
    assert manifest.metrics["test"]["people"]["photos"] == 3
    assert str(tmp_path) not in manifest.to_json()
    assert "--passes 24" in manifest.lineage["command"]
    text = (out / "bundle" / "MODEL_CARD.md").read_text()
    assert f"| pets | 3 | {manifest.metrics['test']['pets']['foregroundIoU']:.3f} |" in text


def test_a_run_goes_on_from_a_bundle_blends_with_it_and_its_card_names_both_commands(
    data: Path, tmp_path: Path
) -> None:
    options = f"--data {data} --passes 1 --batch 4 --sizes 0:32 --workers 0".split()
    command.main([*options, "--out", str(tmp_path / "first"), "--seed", "3"])
    first = tmp_path / "first" / "bundle"
    command.main([*options, "--out", str(tmp_path / "second"), "--start", str(first), "--rate", "1e-2", "--blend", "0"])
    before, after = bundle.load(first, fold=False), bundle.load(tmp_path / "second" / "bundle", fold=False)
    weights = [model.module.state_dict()["head.weight"] for model in (before, after)]
    torch.testing.assert_close(*weights)
    assert after.manifest.lineage["start"]["sha256"] == before.manifest.sha256
    card = (tmp_path / "second" / "bundle" / "MODEL_CARD.md").read_text()
    assert "--start START" in card
    assert "--seed 3" in card
    assert str(tmp_path) not in card + after.manifest.to_json()


def test_tally_counts_foreground_classes_and_species() -> None:
    tally = evaluation.Tally()
    true = np.array([[0, 0, 2, 2, 255]], np.uint8)
    tally.add("cat", true, np.array([[0, 3, 2, 0, 1]], np.uint8))
    tally.add("dog", np.array([[3]], np.uint8), np.array([[0]], np.uint8))
    report = tally.report()
    assert report["foregroundIoU"] == pytest.approx(1 / 4)
    assert report["classIoU"]["cat"] == pytest.approx(1 / 2)
    assert report["speciesAccuracy"] == pytest.approx(1 / 2)


def test_an_interval_holds_the_figure_repeats_and_is_a_point_where_all_photos_are_alike(data: Path) -> None:
    def answer(name: str, source: str, found: list[int]) -> evaluation.Answer:
        entry = dataset.Entry(name, "photo", "person", source, data, data)
        return evaluation.Answer(entry, np.array([[0, 1, 1, 1]], np.uint8), np.array([found], np.uint8), 0.1)

    alike = [answer("pets", "toy", [0, 1, 1, 0])] * 5
    mixed = [answer("people", "toy", [0, 1, 1, 1]), answer("people", "toy", [0, 1, 0, 0])] * 10
    found = evaluation.bootstrapped([*alike, *mixed], 200)
    assert found == evaluation.bootstrapped([*alike, *mixed], 200)
    assert set(found) == {"pets", "pets/toy", "people", "people/toy"}
    assert found["pets"]["foregroundIoU"] == [pytest.approx(2 / 3, abs=1e-4)] * 2
    low, high = found["people"]["foregroundIoU"]
    assert 1 / 3 < low < 2 / 3 < high < 1


def test_a_mask_has_the_photos_own_size() -> None:
    found = evaluation.predict(bundle.load(bundle.STARTER), Image.new("RGB", (301, 97)))
    assert found.shape == (97, 301)
    assert found.dtype == np.uint8
