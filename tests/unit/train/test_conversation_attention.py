import numpy as np
import pytest

from mixlaw.train.conversation_attention import BLOCK_COST, LENGTHS, CannotAttend, attend, blocks_of, layout_of
from mixlaw.train.packing import collate


def cost(lengths, blocks):
    return sum(len(block) * int(lengths[block].max()) ** 2 + BLOCK_COST for block in blocks)


def test_the_blocks_hold_every_conversation_once_at_the_least_cost():
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = np.append(rng.integers(1, 65, 6), 64)
        blocks = blocks_of(lengths * 8)
        assert sorted(np.concatenate(blocks).tolist()) == list(range(7))
        order = np.argsort(lengths * 8, kind="stable")
        cuts = [
            np.split(order, [i + 1 for i in range(6) if mask >> i & 1]) for mask in range(2**6)
        ]  # all ways to cut the sorted lengths
        assert cost(lengths * 8, blocks) == min(cost(lengths * 8, cut) for cut in cuts)


def test_every_token_has_its_place():
    layout = layout_of([3, 1, 200, 2, 190])
    tokens = np.concatenate([block.tokens_CL.ravel() for block in layout.blocks])
    assert tokens[layout.places_N].tolist() == list(range(396)) and layout.longest == 200
    assert len(layout.blocks) == 2


def test_few_lengths_of_blocks_occur_whatever_the_conversations_lengths():
    rng = np.random.default_rng(0)
    found = {
        block.tokens_CL.shape[1]
        for _ in range(200)
        for block in layout_of(rng.integers(1, 4 * LENGTHS + 1, rng.integers(1, 9))).blocks
    }
    assert found <= {LENGTHS, 2 * LENGTHS, 3 * LENGTHS, 4 * LENGTHS}


def test_what_evens_out_a_block_changes_no_output_and_no_gradient(monkeypatch):
    import torch

    from mixlaw.train import conversation_attention

    lengths = [3, 1, 70, 33, 31]
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(1, heads, sum(lengths), 8, generator=generator) for heads in (4, 2, 2)]
    outputs = []
    for step in (1, LENGTHS):
        monkeypatch.setattr(conversation_attention, "LENGTHS", step)
        given = [tensor.clone().requires_grad_() for tensor in states]
        out, _ = attend(None, *given, None, layout=layout_of(lengths))
        out.square().sum().backward()
        outputs.append([out.detach(), *(tensor.grad for tensor in given)])
    for one, other in zip(*outputs, strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "given",
    [{}, {"layout": "own", "dropout": 0.1}, {"layout": "own", "softcap": 30.0}, {"layout": "own", "sliding_window": 2}],
)
def test_attention_of_another_kind_is_refused(given):
    import torch

    given = given | ({"layout": layout_of([3])} if given else {})
    states = torch.zeros(1, 1, 3, 2)
    with pytest.raises(CannotAttend):
        attend(None, states, states, states, None, **given)


def test_a_batch_in_one_row_has_the_same_conversations_and_no_padding():
    one, two = (np.arange(5, 5 + n) for n in (4, 3))
    supervised = np.array([0, 1, 0, 1])
    batch = collate([[(one, supervised), (two, supervised[:3])], [(two, supervised[1:])]], 9)
    row = batch.in_one_row
    assert row.input_ids_BT.tolist() == [[*one, *two, *two]]
    assert row.position_ids_BT.tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1, 2]]
    follows = row.input_ids_BT[0][row.predict_S + 1]
    assert follows.tolist() == row.labels_S.tolist() == batch.labels_S.tolist()
    assert row.in_one_row.predict_S.tolist() == row.predict_S.tolist()
