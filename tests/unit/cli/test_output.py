"""What commands print for people."""

from littoral.cli.output import print_table


def test_columns_without_anything_to_say_are_left_out(capsys):
    rows = [["a", "0", "", "0"], ["b", "0", "", "7"]]
    print_table(["name", "lost", "will", "waiting"], rows, right=("lost", "waiting"), spare=("lost", "will", "waiting"))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["NAME", "WAITING"],
        ["a", "0"],
        ["b", "7"],
    ]


def test_columns_that_are_not_spare_are_shown_without_any_rows(capsys):
    print_table(["NAME", "LOST"], [], spare=("LOST",))
    assert capsys.readouterr().out.split() == ["NAME"]
