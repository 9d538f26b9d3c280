import copy

from envs.errors import ConfigurationError, InterludeError, UnknownNameError, nearest


def test_nearest_ignores_case_and_gives_up_when_nothing_is_near() -> None:
    assert nearest("Sceond_Price", ["first_price", "second_price"]) == "second_price"
    assert nearest("zzz", ["first_price"]) is None
    assert nearest("x", []) is None


def test_an_unknown_name_teaches() -> None:
    error = UnknownNameError("team", "siloded", ["pid", "siloed"])
    assert str(error) == "unknown team 'siloded': did you mean 'siloed'? Valid names: pid, siloed"
    assert str(UnknownNameError("team", "qqq", ["pid"])) == "unknown team 'qqq'. Valid names: pid"
    assert "(none)" in str(UnknownNameError("team", "a", []))


def test_exit_codes_tell_failure_from_misuse() -> None:
    assert InterludeError.exit_code == 1
    assert ConfigurationError.exit_code == UnknownNameError.exit_code == 2
    assert issubclass(UnknownNameError, InterludeError)


def test_an_unknown_name_survives_a_trip_between_processes() -> None:
    error = UnknownNameError("team", "siloded", ["pid", "siloed"])
    again = copy.copy(error)  # by way of __reduce__, as when Ray sends it
    assert (type(again), str(again), again.valid) == (type(error), str(error), error.valid)
