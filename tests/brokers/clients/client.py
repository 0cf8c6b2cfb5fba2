"""RocketMQ's Python client; tests/brokers/rocketmq-clients says how it is told what to do."""

import base64
import json
import os
import sys
import threading
import time

from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from rocketmq import ClientConfiguration, Credentials, FilterExpression, Message, Producer, SimpleConsumer

WAIT = 5  # seconds; the shortest that proxies take
LEASE = 10
PATIENCE = 30


class Client:
    def __init__(self, endpoint):
        self.configuration = ClientConfiguration(endpoint, Credentials(), request_timeout=5)
        self.format = JSONFormat()
        self.producers = {}
        self.consumption = None

    def producer(self, topic):
        if topic not in self.producers:
            producer = Producer(self.configuration, {topic})
            producer.startup()
            self.producers[topic] = producer
        return self.producers[topic]

    def consumer(self, command):
        subscription = {command["topic"]: FilterExpression()}
        consumer = SimpleConsumer(self.configuration, command["group"], subscription, WAIT)
        consumer.startup()
        return consumer

    def send(self, command):
        producer = self.producer(command["topic"])
        return {"sent": [self.send_one(producer, command["topic"], it) for it in command["messages"]]}

    def send_one(self, producer, topic, it):
        message = Message()
        message.topic = topic
        message.body = base64.b64decode(it["body"])
        if it.get("tag"):
            message.tag = it["tag"]
        for key in it.get("keys") or []:
            message.keys = key  # adds it
        if it.get("group"):
            message.message_group = it["group"]
        if it.get("delay"):
            # In seconds, whatever its documentation says.
            message.delivery_timestamp = round(time.time() + it["delay"] / 1000)
        for name, value in (it.get("properties") or {}).items():
            message.add_property(name, value)
        return producer.send(message).message_id

    def take(self, command):
        """So many messages, each acknowledged."""
        consumer = self.consumer(command)
        messages, end = [], time.monotonic() + PATIENCE
        while len(messages) < command["count"]:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(messages)} of {command['count']} came")
            for message in self.poll(consumer, LEASE):
                consumer.ack(message)
                messages.append(message)
        consumer.shutdown()
        return messages

    @staticmethod
    def poll(consumer, lease):
        for _ in range(20):
            try:
                return consumer.receive(32, lease) or []
            except Exception as error:
                # It does not wait until the server has its settings.
                if '"settings" is null' not in str(error):
                    raise
            time.sleep(0.1)
        raise TimeoutError("the server has no settings")

    def receive(self, command):
        def read(message):
            return {
                "id": message.message_id,
                "body": base64.b64encode(message.body).decode(),
                "tag": message.tag,
                "keys": sorted(message.keys),
                "group": message.message_group,
                "properties": message.properties,
                "attempt": message.delivery_attempt,
                "corrupted": message.corrupted,
            }

        return {"messages": [read(message) for message in self.take(command)]}

    def send_events(self, command):
        """The SDK has no binding to RocketMQ; that to Kafka, its headers as properties, comes close."""
        write = {"binary": kafka.to_binary, "structured": kafka.to_structured}[command["mode"]]

        def message(event):
            written = write(self.format.read(None, json.dumps(event).encode()), self.format)
            return {
                "body": base64.b64encode(written.value or b"\0").decode(),
                "properties": {name: value.decode() for name, value in written.headers.items()},
                "group": written.key,
            }

        return self.send({**command, "messages": [message(event) for event in command["events"]]})

    def receive_events(self, command):
        def read(message):
            headers = {}
            for name, value in message.properties.items():
                if name.lower() == "ce_contenttype":
                    name = "content-type"
                headers[name] = value.encode()
            body = message.body if message.body != b"\0" else b""
            event = kafka.from_binary(kafka.KafkaMessage(headers, None, body), self.format)
            return json.loads(self.format.write(event))

        return {"events": [read(message) for message in self.take(command)]}

    def consume(self, command):
        stop = threading.Event()
        consumer = self.consumer(command)

        def run():
            try:
                while not stop.is_set():
                    for message in self.poll(consumer, command["lease"]):
                        began = time.time_ns()
                        time.sleep(command["work"] / 1000)
                        say({"body": message.body.decode(), "from": began, "to": time.time_ns()})
                        consumer.ack(message)
                consumer.shutdown()
            except Exception as error:
                say({"error": f"{type(error).__name__}: {error}"})

        thread = threading.Thread(target=run)
        thread.start()
        self.consumption = (stop, thread)
        return {"consumes": True}

    def stop(self, _):
        stop, thread = self.consumption
        stop.set()
        thread.join()
        return {"stopped": True}


LOCK = threading.Lock()


def say(answer):
    with LOCK:
        print(json.dumps(answer), flush=True)


def main():
    client = Client(sys.argv[1])
    say({"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        try:
            say(getattr(client, command["do"].replace("-", "_"))(command))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})
    os._exit(0)  # whatever threads there are


main()
