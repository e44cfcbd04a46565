"""Reads a topic by confluent-kafka's Avro deserializer.

Prints a line of JSON for each record, until the one with the last id has come.
"""
import decimal
import json
import sys

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

brokers, registry, topic, last = sys.argv[1:5]


def plain(v):
    if isinstance(v, bytes):
        return "0x" + v.hex()
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    if isinstance(v, bool) or v is None or isinstance(v, (str, float)):
        return v
    if isinstance(v, int):
        return str(v)
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    raise TypeError(f"{type(v)}: {v}")


deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry}))
consumer = Consumer({
    "bootstrap.servers": brokers, "group.id": "python-" + topic, "auto.offset.reset": "earliest",
    "isolation.level": "read_committed", "enable.auto.commit": False,
})
consumer.subscribe([topic])
while True:
    m = consumer.poll(60)
    if m is None:
        sys.exit("no record for 60 s")
    if m.error():
        sys.exit(str(m.error()))
    key = deserialize(m.key(), SerializationContext(topic, MessageField.KEY))
    value = deserialize(m.value(), SerializationContext(topic, MessageField.VALUE))
    print(json.dumps({"key": plain(key), "value": plain(value)}), flush=True)
    if key and str(key["id"]) == last:
        break
consumer.close()
