// kafkajs, with the codecs that it asks its users to add.
// A driver talks to a cluster as its client's users would and tells in JSON lines what it sees; who runs it
// judges. Logs go to standard error.
'use strict'

const { parseArgs } = require('node:util')
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require('kafkajs')

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => {
  const lz4 = require('lz4-napi')
  return { compress: encoder => lz4.compressFrame(encoder.buffer), decompress: lz4.decompressFrame }
}
CompressionCodecs[CompressionTypes.ZSTD] = () => {
  const zstd = require('@mongodb-js/zstd')
  return { compress: encoder => zstd.compress(encoder.buffer), decompress: zstd.decompress }
}
const codecs = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' }

const string = { type: 'string' }
const { values: options, positionals: [verb] } = parseArgs({
  allowPositionals: true,
  options: {
    bootstrap: string, topic: string, timeout: { ...string, default: '60s' }, count: { ...string, default: '0' },
    codec: { ...string, default: 'none' }, size: { ...string, default: '100' }, tag: string, linger: string,
    idempotent: { ...string, default: 'true' }, partition: string,
    group: string, commit: { ...string, default: 'true' }, stay: { ...string, default: 'false' },
    from: string, isolation: string, timestamp: string
  }
})
const count = Number(options.count)
const timeout = Number(options.timeout.replace(/s$/, '')) * 1000

const say = line => process.stdout.write(JSON.stringify(line) + '\n')

// Each distinct error is said once, and no more than a few.
const said = new Set()
function sayError (error, most) {
  // The retrier's error wraps that which it gave up on.
  while (error.code === undefined && error.cause) error = error.cause
  const line = JSON.stringify({ event: 'error', code: error.code ?? -1, name: error.type ?? error.name, message: error.message })
  if (said.size < most && !said.has(line)) {
    said.add(line)
    process.stdout.write(line + '\n')
  }
}

const kafka = () => new Kafka({
  clientId: 'driver',
  brokers: options.bootstrap.split(','),
  requestTimeout: 30000,
  logLevel: logLevel.WARN,
  logCreator: () => ({ namespace, log }) => console.error(namespace, log.message, log.error ?? '')
})

async function produce () {
  const producer = kafka().producer({
    idempotent: options.idempotent !== 'false',
    maxInFlightRequests: 1,
    retry: { retries: options.idempotent !== 'false' ? Number.MAX_SAFE_INTEGER : 5 }
  })
  await producer.connect()
  const messages = []
  for (let i = 0; i < count; i++) {
    const key = `${options.tag}-${i}`
    const message = { key, value: key.padEnd(Number(options.size), 'x') }
    if (options.partition !== undefined) message.partition = Number(options.partition)
    messages.push(message)
  }
  let acked = 0
  let failed = 0
  // A call is a batch for each partition here, and succeeds or fails as a whole: its size is in our hands.
  const most = Math.max(1, Math.min(100, Math.floor(1000000 / Number(options.size))))
  for (let i = 0; i < messages.length; i += most) {
    const batch = messages.slice(i, i + most)
    try {
      await producer.send({ topic: options.topic, acks: -1, timeout, compression: CompressionTypes[codecs[options.codec]], messages: batch })
      acked += batch.length
    } catch (error) {
      failed += batch.length
      sayError(error, 5)
    }
  }
  say({ event: 'done', acked, failed })
  await producer.disconnect()
}

// read consumes until there is enough. The client reads through a group only: where none is asked for it gets one
// of its own, to which nothing is committed. start is called once the consumer runs, before it has fetched.
async function read (start = async () => {}) {
  const group = options.group ?? `driver-${process.pid}-${Date.now()}`
  const commits = options.group !== undefined && options.commit !== 'false'
  const stay = options.stay === 'true'
  const consumer = kafka().consumer({ groupId: group, sessionTimeout: 10000, heartbeatInterval: 1000, maxWaitTimeInMs: 500 })
  let held = []
  let done
  const ended = new Promise(resolve => { done = resolve })
  consumer.on(consumer.events.REBALANCING, () => {
    if (options.group && held.length > 0) say({ event: 'revoked', partitions: held })
    held = []
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    held = (payload.memberAssignment[options.topic] ?? []).sort()
    if (options.group) say({ event: 'assigned', partitions: held })
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    sayError(payload.error, 20)
    // The client stops for good at what it does not call retriable; to begin anew is its users' decision.
    if (!payload.restart) done()
  })
  process.on('SIGTERM', () => done())
  const patience = stay ? undefined : setTimeout(() => done(), timeout)

  let records = 0
  const next = new Map() // of a partition, the offset after the last record read
  const commit = async () => {
    const offsets = [...next].map(([partition, offset]) => ({ topic: options.topic, partition, offset }))
    next.clear()
    if (!commits || offsets.length === 0) return
    try {
      await consumer.commitOffsets(offsets)
      say({ event: 'committed' })
    } catch (error) {
      sayError(error, 20)
    }
  }
  const second = stay ? setInterval(commit, 1000) : undefined

  await consumer.connect()
  await consumer.subscribe({ topics: [options.topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      if (!stay && records >= count) return
      const value = message.value.toString()
      say({
        partition, offset: Number(message.offset), key: message.key?.toString() ?? '', value: value.split('x', 1)[0],
        size: message.value.length, timestamp: Number(message.timestamp)
      })
      records++
      next.set(partition, (BigInt(message.offset) + 1n).toString())
      if (!stay && records >= count) done()
    }
  })
  await start(consumer)
  if (count === 0 && !stay) done()
  await ended
  clearTimeout(patience)
  clearInterval(second)
  await commit()
  await consumer.disconnect()
  say(stay || records >= count ? { event: 'done', read: records } : { event: 'timeout', read: records })
}

async function seek () {
  const admin = kafka().admin()
  await admin.connect()
  const found = await admin.fetchTopicOffsetsByTimestamp(options.topic, Number(options.timestamp))
  const ends = new Map((await admin.fetchTopicOffsets(options.topic)).map(p => [p.partition, p.high]))
  await admin.disconnect()
  for (const { partition, offset } of found.sort((a, b) => a.partition - b.partition)) {
    // For a partition without such a record the client puts its end in the place of -1.
    say({ event: 'offset', partition, offset: offset === ends.get(partition) ? -1 : Number(offset) })
  }
  await read(async consumer => {
    for (const { partition, offset } of found) consumer.seek({ topic: options.topic, partition, offset })
  })
}

async function main () {
  switch (verb) {
    case 'version': return console.log(`kafkajs ${require('kafkajs/package.json').version}`)
    case 'produce': return produce()
    case 'consume': return read()
    case 'seek': return seek()
    default:
      console.error('usage: driver produce|consume|seek|version [--option value]...')
      process.exit(1)
  }
}

main().catch(error => {
  if (!error.name.startsWith('KafkaJS')) {
    console.error(error)
    process.exit(1)
  }
  sayError(error, 20)
})
