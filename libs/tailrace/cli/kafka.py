"""`tailrace kafka`: the topics of an installation."""

from typing import Annotated

import typer

from tailrace.bus.topics import make_missing_topics
from tailrace.cli.work import AsJson, answer, do
from tailrace.events.topics import TopicNames
from tailrace.runtime.carriers import kafka_access
from tailrace.runtime.settings import KafkaSettings


def kafka() -> typer.Typer:
    """The commands under `tailrace kafka`."""
    topics = typer.Typer(help="The topics of an installation.", no_args_is_help=True)
    topics.command("apply")(_apply)
    topics.command("list")(_list)
    command = typer.Typer(help="Kafka.", no_args_is_help=True)
    command.add_typer(topics, name="topics")
    return command


def _apply(
    *,
    replication_factor: Annotated[int, typer.Option(help="Brokers that hold each message.", min=1, max=15)] = 3,
    as_json: AsJson = False,
) -> None:
    """Make the topics that are missing; those that exist stay as they are."""

    async def make(settings: KafkaSettings) -> list[str]:
        access = kafka_access(settings, client_id="tailrace-cli")
        topics = TopicNames(settings.topic_prefix).all()
        return await make_missing_topics(access, topics, replication_factor=replication_factor)

    made = do(KafkaSettings, make)
    lines = [f"made {name}" for name in made] or ["all topics are there"]
    answer({"made": made}, as_json=as_json, text="\n".join(lines))


def _list(*, as_json: AsJson = False) -> None:
    """Say which topics there have to be, with their partitions, for those who make topics in another way."""

    async def name(settings: KafkaSettings) -> dict[str, int]:
        return {topic.name: topic.partitions for topic in TopicNames(settings.topic_prefix).all()}

    topics = do(KafkaSettings, name)
    lines = [f"{topic}  {partitions}" for topic, partitions in topics.items()]
    answer({"topics": topics}, as_json=as_json, text="\n".join(lines))
