// Reads a topic by kafkajs and its schema registry client. Prints a line of JSON
// for each record, until the one with the last id has come.
const { Kafka, logLevel } = require('kafkajs')
const { SchemaRegistry, SchemaType } = require('@kafkajs/confluent-schema-registry')
const avro = require('avsc')

const [brokers, registry, topic, last] = process.argv.slice(2)

// Nanoseconds do not fit into JavaScript's numbers.
const long = avro.types.LongType.__with({
  fromBuffer: (b) => b.readBigInt64LE(),
  toBuffer: (n) => { const b = Buffer.alloc(8); b.writeBigInt64LE(n); return b },
  fromJSON: BigInt, toJSON: String,
  isValid: (n) => typeof n === 'bigint' || typeof n === 'number',
  compare: (a, b) => (a === b ? 0 : a < b ? -1 : 1),
})

function typeHook (schema) {
  if (schema === 'long' || schema.type === 'long') return long
}

function plain (v) {
  if (Buffer.isBuffer(v)) return '0x' + v.toString('hex')
  if (typeof v === 'bigint') return v.toString()
  if (Array.isArray(v)) return v.map(plain)
  if (v !== null && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]))
  return v
}

async function main () {
  const schemas = new SchemaRegistry({ host: registry }, { [SchemaType.AVRO]: { typeHook } })
  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.ERROR })
  const consumer = kafka.consumer({ groupId: 'node-' + topic, readUncommitted: false })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (e) => reject(e.payload.error))
    consumer.run({
      eachMessage: async ({ message }) => {
        try {
          const key = message.key && await schemas.decode(message.key)
          const value = message.value && await schemas.decode(message.value)
          console.log(JSON.stringify({ key: plain(key), value: plain(value) }))
          if (key && String(key.id) === last) resolve()
        } catch (e) { reject(e) }
      },
    }).catch(reject)
  })
  await consumer.disconnect()
}

main().catch((e) => { console.error(e); process.exit(1) })
