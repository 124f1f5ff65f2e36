"""The redis-py consumer of the test fixtures as a service that runs for ever.

usage: redis_py_consumer.py REDIS_URL QUEUE LOG
It notes each message in LOG before it acknowledges it, as its handler would have its effect before that.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "fixtures"))

import redis  # noqa: E402
from redis_py_consumer import MessageEnvelope, ModelReadyToDeployMessage  # noqa: E402


def consume(client: redis.Redis, queue: str, log: int) -> None:
    processing = f"{queue}:processing"
    while True:
        taken = client.brpoplpush(queue, processing, timeout=1)
        if taken is None:
            continue
        message = ModelReadyToDeployMessage(**MessageEnvelope.from_json(taken).payload)
        os.write(log, f"{message.model_name}/{message.model_version}\n".encode())
        client.lrem(processing, 1, taken)


def main(url: str, queue: str, path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        try:
            client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=3, socket_connect_timeout=1)
            consume(client, queue, log)
        except redis.RedisError as error:
            print(error, file=sys.stderr, flush=True)
            time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:4])
