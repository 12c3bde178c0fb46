// kafkajs, with the codecs that it asks its users to add.
import zstd from '@mongodb-js/zstd'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4-napi'
import { batches, options, reading, run, say, sayErrors } from './conversation.mjs'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: encoder => lz4.compressFrame(encoder.buffer), decompress: lz4.decompressFrame })
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ compress: encoder => zstd.compress(encoder.buffer), decompress: zstd.decompress })
const codecs = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' }

// explain returns code, name and message of an error of this client.
function explain (error) {
  if (!error.name?.startsWith('KafkaJS')) return undefined
  while (error.code === undefined && error.cause) error = error.cause // that of the retrier wraps what it gave up on
  return [error.code ?? -1, error.type ?? error.name, error.message]
}

function sayer (most) {
  const sayError = sayErrors(most)
  return error => {
    const known = explain(error)
    if (known === undefined) throw error
    sayError(...known)
  }
}

const kafka = () => new Kafka({
  clientId: 'driver',
  brokers: options.brokers,
  requestTimeout: 30000,
  logLevel: logLevel.WARN,
  logCreator: () => ({ namespace, log }) => console.error(namespace, log.message, log.error ?? '')
})

async function produce () {
  const sayError = sayer(5)
  const producer = kafka().producer({
    idempotent: options.idempotent,
    maxInFlightRequests: 1,
    retry: { retries: options.idempotent ? Number.MAX_SAFE_INTEGER : 5 }
  })
  await producer.connect()
  let acked = 0
  let failed = 0
  for (const messages of batches()) {
    try {
      await producer.send({ topic: options.topic, acks: -1, timeout: options.timeout, compression: CompressionTypes[codecs[options.codec]], messages })
      acked += messages.length
    } catch (error) {
      failed += messages.length
      sayError(error)
    }
  }
  say({ event: 'done', acked, failed })
  await producer.disconnect()
}

// read consumes until there is enough. start is called once the consumer runs, before it has fetched.
async function read (start = () => {}) {
  const sayError = sayer(20)
  const consumer = kafka().consumer({
    groupId: options.group, sessionTimeout: 10000, heartbeatInterval: 1000, maxWaitTimeInMs: 500,
    ...(options.isolation ? { readUncommitted: options.isolation === 'read_uncommitted' } : {})
  })
  const seen = reading()
  let held = []
  consumer.on(consumer.events.REBALANCING, () => {
    if (options.grouped && held.length > 0) say({ event: 'revoked', partitions: held })
    held = []
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    held = (payload.memberAssignment[options.topic] ?? []).sort()
    if (options.grouped) say({ event: 'assigned', partitions: held })
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    sayError(payload.error)
    // The client stops for good at what it does not call retriable; to begin anew is its users' decision.
    if (!payload.restart) seen.end()
  })
  const commit = async () => {
    const offsets = seen.take().map(([partition, offset]) => ({ topic: options.topic, partition, offset: offset.toString() }))
    if (offsets.length === 0) return
    try {
      await consumer.commitOffsets(offsets)
      say({ event: 'committed' })
    } catch (error) {
      sayError(error)
    }
  }
  const second = options.stay ? setInterval(commit, 1000) : undefined

  await consumer.connect()
  await consumer.subscribe({ topics: [options.topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => seen.record(partition, message.offset, message.key, message.value, message.timestamp)
  })
  start(consumer)
  seen.begin()
  await seen.ended
  clearInterval(second)
  await commit()
  await consumer.disconnect()
  seen.done()
}

async function seek () {
  const admin = kafka().admin()
  await admin.connect()
  const found = await admin.fetchTopicOffsetsByTimestamp(options.topic, options.timestamp)
  const ends = new Map((await admin.fetchTopicOffsets(options.topic)).map(p => [p.partition, p.high]))
  await admin.disconnect()
  for (const { partition, offset } of found.sort((a, b) => a.partition - b.partition)) {
    // For a partition without such a record the client puts its end in the place of -1.
    say({ event: 'offset', partition, offset: offset === ends.get(partition) ? -1 : Number(offset) })
  }
  await read(consumer => {
    for (const { partition, offset } of found) consumer.seek({ topic: options.topic, partition, offset })
  })
}

await run('kafkajs', { produce, consume: () => read(), seek }, explain)
