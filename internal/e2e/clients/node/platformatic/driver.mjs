// @platformatic/kafka.
import { Consumer, MultipleErrors, GenericError, Producer, protocolErrors, compressionsAlgorithms } from '@platformatic/kafka'
import { batches, options, reading, run, say, sayErrors } from './conversation.mjs'

// explain returns code, name and message of an error of this client: of its cause, if that is an answer of the cluster.
function explain (error) {
  if (!GenericError.isGenericError(error)) return undefined
  const answer = find(error)
  if (answer) return [answer.apiCode, answer.apiId, answer.serverErrorMessage ?? answer.message]
  return [-1, error.code, error.message]
}

function find (error) {
  if (error.apiCode !== undefined) return error
  for (const inner of [...(error.errors ?? []), error.cause]) {
    const found = inner && find(inner)
    if (found) return found
  }
}

function sayer (most) {
  const sayError = sayErrors(most)
  return error => {
    const known = explain(error)
    if (known === undefined) throw error
    sayError(...known)
  }
}

const client = { clientId: 'driver', bootstrapBrokers: options.brokers, timeout: 30000 }

async function produce () {
  if (!compressionsAlgorithms[options.codec].available) {
    say({ event: 'unsupported', message: `its ${options.codec} is Node's own, which Node ${process.versions.node.split('.')[0]} has not` })
    return
  }
  const sayError = sayer(5)
  const producer = new Producer({ ...client, acks: -1, compression: options.codec, idempotent: options.idempotent, autocreateTopics: true })
  let acked = 0
  let failed = 0
  for (const batch of batches()) {
    try {
      await producer.send({ messages: batch.map(({ key, value, ...at }) => ({ topic: options.topic, key: Buffer.from(key), value: Buffer.from(value), ...at })) })
      acked += batch.length
    } catch (error) {
      failed += batch.length
      sayError(error)
    }
  }
  say({ event: 'done', acked, failed })
  await producer.close()
}

// read consumes until there is enough, from where how says.
async function read (how) {
  const sayError = sayer(20)
  const seen = reading()
  const consumer = new Consumer({ ...client, groupId: options.group, sessionTimeout: 10000, heartbeatInterval: 1000, rebalanceTimeout: 10000, maxWaitTime: 500 })
  let held = []
  const partitions = () => (consumer.assignments ?? []).filter(a => a.topic === options.topic).flatMap(a => a.partitions).sort()
  const revoked = () => {
    if (options.grouped && held.length > 0) say({ event: 'revoked', partitions: held })
    held = []
  }
  consumer.on('consumer:group:rebalance', revoked)
  consumer.on('consumer:group:join', () => {
    revoked()
    held = partitions()
    if (options.grouped) say({ event: 'assigned', partitions: held })
  })
  const commit = async () => {
    const offsets = seen.take().map(([partition, offset]) => ({ topic: options.topic, partition, offset, leaderEpoch: -1 }))
    if (offsets.length === 0) return
    try {
      await consumer.commit({ offsets })
      say({ event: 'committed' })
    } catch (error) {
      sayError(error)
    }
  }
  const second = options.stay ? setInterval(commit, 1000) : undefined

  const stream = await consumer.consume({ topics: [options.topic], autocommit: false, ...(options.isolation ? { isolationLevel: options.isolation === 'read_committed' ? 1 : 0 } : {}), ...await how(consumer) })
  stream.on('data', m => seen.record(m.partition, m.offset, m.key, m.value, m.timestamp))
  stream.on('error', error => { // the stream has ended by it
    sayError(error)
    seen.end()
  })
  seen.begin()
  await seen.ended
  clearInterval(second)
  await commit()
  await consumer.close(true)
  seen.done()
}

const consume = () => read(() => ({ mode: 'committed', fallbackMode: 'earliest' }))

const seek = () => read(async consumer => {
  const topics = [options.topic]
  const found = (await consumer.listOffsets({ topics, timestamp: BigInt(options.timestamp) })).get(options.topic)
  const ends = (await consumer.listOffsets({ topics })).get(options.topic)
  found.forEach((offset, partition) => say({ event: 'offset', partition, offset: Number(offset) }))
  return { mode: 'manual', offsets: found.map((offset, partition) => ({ topic: options.topic, partition, offset: offset < 0n ? ends[partition] : offset })) }
})

await run('@platformatic/kafka', { produce, consume, seek }, explain)
