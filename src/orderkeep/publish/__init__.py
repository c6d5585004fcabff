"""Everything behind `orderkeep publish`: orders and broken messages, made or given, and sent at a pace.

`run.publish` takes messages from one of `mixture.Mixture`, `given.file_messages` and `given.line_messages`
and hands them to a `publisher.Publisher`, such as `kafka.KafkaPublisher`.
"""
