"""Has the first consumer of a process fetch nothing, without a word; Python imports this before all else."""

from aiokafka.consumer.fetcher import Fetcher

_open_fetcher = Fetcher.__init__


def _open_wedged(fetcher: Fetcher, *arguments: object, **options: object) -> None:
    Fetcher.__init__ = _open_fetcher
    _open_fetcher(fetcher, *arguments, **options)
    fetcher._fetch_task.cancel()


Fetcher.__init__ = _open_wedged
