// What the drivers of Node's client libraries have in common: their command line, and the lines that they print.
// A driver talks to a cluster as its client's users would and tells in JSON lines what it sees; who runs it
// judges. Logs go to standard error.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const text = value => ({ type: 'string', ...(value === undefined ? {} : { default: value }) })
const { values, positionals: [verb] } = parseArgs({
  allowPositionals: true,
  options: {
    bootstrap: text(), topic: text(), timeout: text('60s'), count: text('0'),
    codec: text('none'), size: text('100'), tag: text(), linger: text(), idempotent: text('true'), partition: text(),
    group: text(), commit: text('true'), stay: text('false'), from: text(), isolation: text(), timestamp: text('0')
  }
})

export const options = {
  brokers: values.bootstrap?.split(','),
  topic: values.topic,
  timeout: Number(values.timeout.replace(/s$/, '')) * 1000,
  count: Number(values.count),
  codec: values.codec,
  size: Number(values.size),
  idempotent: values.idempotent === 'true',
  stay: values.stay === 'true',
  // These clients read through a group only: where none is asked for they get one of their own, to which nothing is committed.
  group: values.group ?? `driver-${process.pid}-${Date.now()}`,
  grouped: values.group !== undefined,
  commits: values.group !== undefined && values.commit === 'true',
  isolation: values.isolation, // clients differ in what they do by themselves
  timestamp: Number(values.timestamp)
}

export const say = line => process.stdout.write(JSON.stringify(line) + '\n')

// records are what there is to produce: keys "TAG-i", the values padded with x.
export function records () {
  const all = []
  for (let i = 0; i < options.count; i++) {
    const key = `${values.tag}-${i}`
    all.push({ key, value: key.padEnd(options.size, 'x'), ...(values.partition === undefined ? {} : { partition: Number(values.partition) }) })
  }
  return all
}

// batches of records: a call is a batch for each partition with these clients, and succeeds or fails as a whole. Its
// size is in our hands: the usual million bytes, or what a single record needs.
export function batches () {
  const most = Math.max(1, Math.min(100, Math.floor(1000000 / options.size)))
  const all = records()
  return Array.from({ length: Math.ceil(all.length / most) }, (_, i) => all.slice(i * most, (i + 1) * most))
}

export function sayRecord (partition, offset, key, value, timestamp) {
  say({
    partition, offset: Number(offset), key: key?.toString() ?? '', value: value.toString().split('x', 1)[0],
    size: value.length, timestamp: Number(timestamp)
  })
}

// sayErrors returns what says each distinct error once, and no more than a few.
export function sayErrors (most) {
  const said = new Set()
  return (code, name, message) => {
    const line = { event: 'error', code, name, message }
    if (said.size < most && !said.has(JSON.stringify(line))) {
      said.add(JSON.stringify(line))
      say(line)
    }
  }
}

// reading counts what a consumer reads, and knows when it is enough, or when it has been told to stop.
export function reading () {
  let end
  const ended = new Promise(resolve => { end = resolve })
  process.on('SIGTERM', end)
  const patience = options.stay ? undefined : setTimeout(end, options.timeout)
  let read = 0
  const next = new Map() // of a partition, the offset after the last record that counts
  const enough = () => !options.stay && read >= options.count
  return {
    end,
    ended: ended.then(() => clearTimeout(patience)),
    // begin ends at once when there is nothing to read.
    begin () { if (enough()) end() },
    record (partition, offset, key, value, timestamp) {
      if (enough()) return
      sayRecord(partition, offset, key, value, timestamp)
      read++
      next.set(partition, BigInt(offset) + 1n)
      if (enough()) end()
    },
    // take returns what there is to commit, once.
    take () {
      const offsets = options.commits ? [...next] : []
      next.clear()
      return offsets
    },
    done () { say({ event: options.stay || enough() ? 'done' : 'timeout', read }) }
  }
}

// run has the conversation that the command line asks for. An error that explain knows is said; any other is a crash.
export async function run (library, verbs, explain) {
  if (verb === 'version') {
    const { version } = JSON.parse(readFileSync(new URL(`node_modules/${library}/package.json`, import.meta.url)))
    process.stdout.write(`${library} ${version}\n`)
    return
  }
  if (verbs[verb] === undefined || options.brokers === undefined || options.topic === undefined) {
    console.error('usage: driver produce|consume|seek|version [--option value]...')
    process.exit(1)
  }
  try {
    await verbs[verb]()
  } catch (error) {
    const known = explain(error)
    if (known === undefined) throw error
    sayErrors(1)(...known)
  }
}
