from littoral.core.remembered import Remembered


def test_what_was_worked_out_is_not_worked_out_again() -> None:
    worked_out: list[str] = []

    def length(word: str) -> int:
        worked_out.append(word)
        return len(word)

    known = Remembered(length, 2, lambda word: word != "secret")
    assert [known[word] for word in ("a", "bb", "a", "bb")] == [1, 2, 1, 2]
    assert worked_out == ["a", "bb"]


def test_what_is_not_to_be_kept_is_not_and_one_too_many_forgets_them_all() -> None:
    known: Remembered[str, int] = Remembered(len, 2, lambda word: word != "secret")
    assert known["secret"] == 6
    assert "secret" not in known
    assert [known[word] for word in ("a", "bb", "ccc")] == [1, 2, 3]
    assert list(known) == ["ccc"]
