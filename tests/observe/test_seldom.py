import logging

from tailrace.observe.seldom import Seldom


def a_record(name: str, text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, text, arguments, None)


def test_repeated_message_is_written_once_in_a_while() -> None:
    now = 100.0
    seldom = Seldom("aiokafka", every_s=30, monotonic=lambda: now)
    first = seldom.filter(a_record("aiokafka.conn", "no %s", "kafka-0"))
    again = seldom.filter(a_record("aiokafka.conn", "no %s", "kafka-1"))

    now = 131.0

    assert (first, again) == (True, False)
    assert seldom.filter(a_record("aiokafka.conn", "no %s", "kafka-0"))


def test_another_message_is_written_at_once() -> None:
    seldom = Seldom("aiokafka", every_s=30)
    seldom.filter(a_record("aiokafka", "one"))

    assert seldom.filter(a_record("aiokafka", "other"))


def test_other_loggers_are_left_alone() -> None:
    seldom = Seldom("aiokafka", every_s=30)

    written = [seldom.filter(a_record(name, "same")) for name in ("tailrace", "tailrace", "aiokafkaesque")]

    assert written == [True, True, True]
