import { randomBytes, randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import { exchangeRaw, RawClient } from '../support/raw-client.ts'
import { openTls, openTunnel } from '../support/tunnel-client.ts'

/** What the clients did and saw. */
export class Tally {
  /** How often each kind of work was done. */
  readonly done: Record<string, number> = {}
  /** Ids of the refusals that clients were told, to be found in the audit log. */
  readonly refused = new Set<string>()
  bytesSent = 0
  bytesReceived = 0
  /** What should not have been. */
  readonly faults: string[] = []

  count(what: string): void {
    this.done[what] = (this.done[what] ?? 0) + 1
  }
}

export interface Target {
  readonly proxy: number
  readonly caPem: string
  readonly tally: Tally
}

/** One piece of work by one client. Throws for what should not be. */
export type Work = (target: Target) => Promise<void>

/** Sends bytes and resolves with as many as were sent. */
function roundTrip(socket: Socket, sent: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      length += chunk.length
      if (length < sent.length) return
      socket.off('data', onData)
      socket.off('close', onClose)
      resolve(Buffer.concat(chunks))
    }
    const onClose = () => reject(new Error(`closed after ${length} of ${sent.length} bytes`))
    socket.on('data', onData)
    socket.once('close', onClose)
    socket.write(sent)
  })
}

function noteRefusal({ tally }: Target, answer: string): void {
  const id = /\r\nSallyport-Request-Id: ([0-9a-f-]+)\r\n/i.exec(answer)?.[1]
  if (id === undefined) throw new Error(`an answer without an id: ${JSON.stringify(answer.slice(0, 200))}`)
  tally.refused.add(id)
}

const statusOf = (answer: string) => Number(answer.split(' ')[1])

/** A tunnel whose bytes come back, in several messages of any size. */
const tunnel: Work = async ({ proxy, tally }) => {
  const client = await openTunnel(proxy, 'echo.test:7')
  try {
    for (let n = randomInt(1, 4); n > 0; n--) {
      const sent = randomBytes(randomInt(1, 200_000))
      const received = await roundTrip(client.socket, sent)
      tally.bytesSent += sent.length
      tally.bytesReceived += received.length
      if (!received.equals(sent)) throw new Error('a tunnel changed its bytes')
    }
    client.socket.end()
    await client.untilClosed()
  } finally {
    client.close()
  }
}

/** A tunnel whose origin resets it in the middle, or whose client does. */
const brokenTunnel: Work = async ({ proxy }) => {
  const client = await openTunnel(proxy, 'resets.test:7')
  client.send(randomBytes(randomInt(1, 50_000)))
  if (randomInt(2) === 0) client.socket.resetAndDestroy()
  else await new Promise((resolve) => (client.closed ? resolve(undefined) : client.socket.once('close', resolve)))
}

const post = (host: string, body: Buffer, url = `http://${host}`) =>
  Buffer.concat([
    Buffer.from(`POST ${url}/team/x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`),
    body,
  ])

function expectTaken(answer: string, body: Buffer): void {
  if (statusOf(answer) !== 200 || !answer.includes(`took ${body.length}.`))
    throw new Error(`a body of ${body.length} bytes was answered ${JSON.stringify(answer.slice(0, 200))}`)
}

const forward: Work = async ({ proxy }) => {
  const body = randomBytes(randomInt(0, 100_000))
  expectTaken(await exchangeRaw(proxy, post('web.test', body)), body)
}

const plainTunnel: Work = async ({ proxy }) => {
  const client = await openTunnel(proxy, 'web.test:80')
  try {
    const body = randomBytes(randomInt(0, 20_000))
    client.send(post('web.test', body, ''))
    expectTaken((await client.untilClosed()).replace(/^HTTP\/1\.1 200 Connection established\r\n\r\n/, ''), body)
  } finally {
    client.close()
  }
}

const inspected: Work = async ({ proxy, caPem }) => {
  const secure = await openTls(proxy, 'paths.test:443', { ca: caPem })
  const client = new RawClient(secure)
  try {
    const body = randomBytes(randomInt(0, 50_000))
    client.send(post('paths.test', body, ''))
    expectTaken(await client.untilClosed(), body)
  } finally {
    client.close()
  }
}

/** Requests that need no parser of Node's, one after another on a connection that stays. */
async function fetchAll(client: RawClient, url: string): Promise<void> {
  for (let n = 1, wanted = randomInt(1, 6); n <= wanted; n++) {
    client.send(
      `${randomInt(8) === 0 ? 'OPTIONS' : 'GET'} ${url}/team/x HTTP/1.1\r\nHost: ${new URL(url || 'http://paths.test').host}\r\n\r\n`,
    )
    await client.until((text) => text.split('took 0.').length > n, `answer ${n}`)
  }
}

const fetched: Work = async ({ proxy }) => {
  const client = await RawClient.connect(proxy)
  try {
    await fetchAll(client, 'http://web.test')
  } finally {
    client.close()
  }
}

const fetchedInside: Work = async ({ proxy, caPem }) => {
  const client = new RawClient(await openTls(proxy, 'paths.test:443', { ca: caPem }))
  try {
    await fetchAll(client, '')
  } finally {
    client.close()
  }
}

const denied: Work = async (target) => {
  const host = `h${randomInt(1_000)}.denied.test`
  const answer = await exchangeRaw(target.proxy, `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  if (statusOf(answer) !== 403) throw new Error(`a denied host was answered ${answer.slice(0, 60)}`)
  noteRefusal(target, answer)
}

/** Names that name servers lie about, fail on or say nothing of. */
const troubledName: Work = async (target) => {
  const host = `h${randomInt(10_000)}.looked-up.test`
  const answer = await exchangeRaw(target.proxy, `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  if (![403, 502, 504].includes(statusOf(answer))) throw new Error(`a troubled name was answered ${answer.slice(0, 60)}`)
  noteRefusal(target, answer)
}

const garbage: Work = async (target) => {
  const answer = await exchangeRaw(target.proxy, `CONNECT ${randomBytes(8).toString('hex')}::1 HTTP/1.1\r\nHost: x\r\n\r\n`)
  if (statusOf(answer) !== 400) throw new Error(`garbage was answered ${answer.slice(0, 60)}`)
  noteRefusal(target, answer)
}

/** Every kind of work, with how many clients do it at once. */
export const WORK: Readonly<Record<string, { readonly clients: number; readonly work: Work }>> = {
  tunnel: { clients: 4, work: tunnel },
  'broken tunnel': { clients: 2, work: brokenTunnel },
  forward: { clients: 2, work: forward },
  'tunnel to port 80': { clients: 2, work: plainTunnel },
  inspected: { clients: 2, work: inspected },
  fetched: { clients: 2, work: fetched },
  'fetched inside': { clients: 2, work: fetchedInside },
  denied: { clients: 2, work: denied },
  'troubled name': { clients: 4, work: troubledName },
  garbage: { clients: 1, work: garbage },
}
