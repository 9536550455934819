import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.needs import shared_data

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.merkle import Frontier, NodeReader

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no timing is asserted


class Tree:
    """A whole log: what a store would hold."""

    def __init__(self, size: int) -> None:
        self.leaves = [merkle.leaf_hash(str(index).encode()) for index in range(size)]
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.roots = [merkle.EMPTY_ROOT]
        frontier = Frontier()
        for leaf in self.leaves:
            for node in frontier.append(leaf):
                assert (node.level, node.position) not in self.nodes
                self.nodes[node.level, node.position] = node.hash
            self.roots.append(frontier.root())

    def node(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


TREE = Tree(130)
SIZES = st.integers(1, 130)


def rfc_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return merkle.node_hash(rfc_root(leaves[:middle]), rfc_root(leaves[middle:]))


def vectors(kind: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(shared_data("merkle", kind).rglob("*.json"))]


def hashes(texts: list[str] | None) -> list[bytes]:
    return [b64decode(text) for text in texts or ()]


def test_the_published_inclusion_vectors_are_judged_as_published() -> None:
    cases = vectors("inclusion")
    assert len(cases) == 98
    for case in cases:
        leaf, root = hashes([case["leafHash"], case["root"]])
        try:
            merkle.verify_inclusion(leaf, case["leafIdx"], case["treeSize"], hashes(case["proof"]), root)
            refused = False
        except IntegrityError:
            refused = True
        assert refused == case["wantErr"], case


def test_the_published_consistency_vectors_are_judged_as_published() -> None:
    cases = vectors("consistency")
    assert len(cases) == 98
    for case in cases:
        first, second = hashes([case["root1"], case["root2"]])
        try:
            merkle.verify_consistency(case["size1"], case["size2"], hashes(case["proof"]), first, second)
            refused = False
        except IntegrityError:
            refused = True
        assert refused == case["wantErr"], case


def test_leaves_and_inner_nodes_are_hashed_apart() -> None:
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")

    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_every_root_is_the_one_that_the_rfc_defines() -> None:
    for size in range(len(TREE.leaves) + 1):
        assert TREE.roots[size] == rfc_root(TREE.leaves[:size]) == merkle.root(TREE.leaves[:size])


def test_append_completes_as_many_nodes_as_the_tree_has() -> None:
    frontier = Frontier()
    assert [len(frontier.append(leaf)) for leaf in TREE.leaves[:8]] == [1, 2, 1, 3, 1, 2, 1, 4]
    assert frontier.size == 8


@PATIENT
@given(SIZES)
def test_a_restored_frontier_goes_on_as_if_never_stored(size: int) -> None:
    frontier = Frontier.restore(size, TREE.node)

    assert frontier.root() == TREE.roots[size]
    for position in range(size, min(size + 5, len(TREE.leaves))):
        completed = frontier.append(TREE.leaves[position])
        assert all(TREE.nodes[node.level, node.position] == node.hash for node in completed)
        assert frontier.root() == TREE.roots[position + 1]


def test_a_copied_frontier_can_be_come_back_to() -> None:
    frontier = Frontier.restore(5, TREE.node)
    twin = frontier.copy()
    frontier.append(TREE.leaves[5])

    assert (twin.size, twin.root()) == (5, TREE.roots[5])
    assert (frontier.size, frontier.root()) == (6, TREE.roots[6])


def test_restoring_reads_one_node_for_each_bit_of_the_size() -> None:
    read: list[tuple[int, int]] = []

    def counting(level: int, index: int) -> bytes:
        read.append((level, index))
        return TREE.node(level, index)

    Frontier.restore(0b1000011, counting)

    assert read == [(6, 0), (1, 32), (0, 66)]


@PATIENT
@given(st.data())
def test_every_inclusion_proof_verifies_and_only_for_its_own_leaf(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, TREE.node)

    merkle.verify_inclusion(TREE.leaves[index], index, size, proof, TREE.roots[size])
    assert len(proof) <= (size - 1).bit_length()
    with pytest.raises(IntegrityError) as refusal:
        merkle.verify_inclusion(merkle.leaf_hash(b"another"), index, size, proof, TREE.roots[size])
    assert refusal.value.index == index


@PATIENT
@given(st.data())
def test_every_consistency_proof_verifies_and_only_for_its_own_trees(data: st.DataObject) -> None:
    second = data.draw(SIZES)
    first = data.draw(st.integers(1, second))
    proof = merkle.consistency_proof(first, second, TREE.node)

    merkle.verify_consistency(first, second, proof, TREE.roots[first], TREE.roots[second])
    other = merkle.leaf_hash(b"another")
    for wrong in ((other, TREE.roots[second]), (TREE.roots[first], other)):
        with pytest.raises(IntegrityError):
            merkle.verify_consistency(first, second, proof, *wrong)


@PATIENT
@given(st.data())
def test_a_changed_hash_in_a_proof_is_refused(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 130))
    first = data.draw(st.integers(1, second - 1))
    proof = merkle.consistency_proof(first, second, TREE.node)
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] = bytes([proof[place][0] ^ 1]) + proof[place][1:]

    with pytest.raises(IntegrityError):
        merkle.verify_consistency(first, second, proof, TREE.roots[first], TREE.roots[second])


def test_consistency_with_the_empty_log_is_neither_proved_nor_accepted() -> None:
    with pytest.raises(UsageError, match="0 < first"):
        merkle.consistency_proof(0, 5, TREE.node)
    with pytest.raises(IntegrityError, match="0 < first"):
        merkle.verify_consistency(0, 5, [], merkle.EMPTY_ROOT, TREE.roots[5])


def test_a_proof_about_an_absent_record_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no record 5"):
        merkle.inclusion_proof(5, 5, TREE.node)


def test_a_record_given_for_its_hash_is_refused() -> None:
    with pytest.raises(UsageError, match="32 bytes, not 3"):
        Frontier().append(b"abc")


def test_a_negative_size_is_refused() -> None:
    reader: NodeReader = TREE.node
    with pytest.raises(UsageError, match="-1"):
        Frontier.restore(-1, reader)


@pytest.mark.parametrize("proof", [[], [b"short"]])
def test_a_malformed_consistency_proof_is_refused(proof: list[bytes]) -> None:
    with pytest.raises(IntegrityError):
        merkle.verify_consistency(3, 7, proof, TREE.roots[3], TREE.roots[7])
