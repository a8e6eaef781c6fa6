from tailrace.events.models import ALL, RunQueued
from tailrace.events.topics import TopicNames


def test_prefix_stands_for_the_first_word_of_the_type() -> None:
    assert TopicNames("acme.etl").of(RunQueued.type) == "acme.etl.run.queued.v1"
    assert TopicNames().of(RunQueued.type) == RunQueued.type


def test_every_event_has_its_topic_and_a_place_for_what_cannot_be_read() -> None:
    names = [topic.name for topic in TopicNames("acme").all()]

    assert names[: len(ALL)] == [TopicNames("acme").of(event.type) for event in ALL]
    assert names[len(ALL) :] == [f"{name}.dlq" for name in names[: len(ALL)]]


def test_names_hold_dots_and_no_underscores_which_collide_in_metrics() -> None:
    assert not [topic.name for topic in TopicNames("acme").all() if "_" in topic.name]


def test_group_of_a_service_carries_the_prefix() -> None:
    assert TopicNames("acme").group("executor") == "acme.executor"
