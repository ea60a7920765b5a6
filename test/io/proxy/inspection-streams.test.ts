import { once } from 'node:events'
import { connect as connectH2 } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { type InspectionLab, inspected, inspectedRaw, startInspectionLab } from '../../security/inspection-lab.ts'
import { waitFor } from '../../support/gateway.ts'

/** Megabytes each way and protocol; `SALLYPORT_BULK_MB=1024` for the run that the issue asks for. */
const BULK_MB = Number(process.env['SALLYPORT_BULK_MB'] ?? 128)
const BULK_BYTES = BULK_MB * 1_048_576

/** Everything here is one process: client, gateway and origin. */
const RSS_GROWTH_BYTES = 150_000_000

const BLOCK = Buffer.alloc(65_536, 'x')

let lab: InspectionLab
/** What the origin could write of its latest answer. */
let written = 0
let sockets: WebSocketServer

beforeAll(async () => {
  lab = await startInspectionLab({
    config: 'limits: { requestsPerSecondPerClient: 10000, drainSeconds: 5 }',
    serve: (req, res) => {
      if (req.url === '/team/down') {
        res.writeHead(200, { 'Content-Length': BULK_BYTES })
        let left = BULK_BYTES
        written = 0
        const more = () => {
          while (left > 0) {
            left -= BLOCK.length
            written += BLOCK.length
            if (!res.write(BLOCK)) return void res.once('drain', more)
          }
          res.end()
        }
        more()
      } else {
        let length = 0
        req.on('data', (chunk: Buffer) => {
          length += chunk.length
        })
        req.on('end', () => res.end(`took ${length}`))
      }
    },
  })
  sockets = new WebSocketServer({ noServer: true })
  lab.web.server.on('upgrade', (req, socket, head) => {
    lab.web.asked.push(`UPGRADE ${req.url}`)
    if (req.url === '/team/refused') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
    if (req.url === '/team/h2c')
      return void socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n')
    sockets.handleUpgrade(req, socket, head, (peer) => {
      peer.on('message', (message, isBinary) => peer.send(message, { binary: isBinary }))
      if (req.url === '/team/breaking') setImmediate(() => socket.destroy())
    })
  })
})
afterAll(async () => {
  sockets.close()
  await lab.stop()
})

async function rssGrowth(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage().rss
  let most = 0
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss - before)
  }, 20)
  await work()
  clearInterval(timer)
  return most
}

async function session() {
  const secure = await inspected(lab, 'paths.test', ['h2'])
  return connectH2('https://paths.test', { maxSessionMemory: 200, createConnection: () => secure })
}

/** Writes the whole bulk as fast as it is taken. */
async function pour(write: (block: Buffer) => boolean, drained: (resume: () => void) => void): Promise<void> {
  for (let left = BULK_BYTES; left > 0; left -= BLOCK.length) {
    if (!write(BLOCK)) await new Promise<void>((resolve) => drained(resolve))
  }
}

describe(`${BULK_MB} MB through inspection, with bounded memory`, () => {
  it('comes down over HTTP/1.1', async () => {
    const growth = await rssGrowth(async () => {
      const secure = await inspected(lab)
      let received = 0
      secure.on('data', (chunk: Buffer) => {
        received += chunk.length
      })
      secure.write('GET /team/down HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n')
      await once(secure, 'end')
      expect(received).toBeGreaterThan(BULK_BYTES)
      secure.destroy()
    })
    expect(growth).toBeLessThan(RSS_GROWTH_BYTES)
  }, 120_000)

  it('goes up over HTTP/1.1', async () => {
    const growth = await rssGrowth(async () => {
      const client = await inspectedRaw(lab)
      const { socket } = client
      socket.write(`POST /team/up HTTP/1.1\r\nHost: paths.test\r\nContent-Length: ${BULK_BYTES}\r\n\r\n`)
      await pour(
        (block) => socket.write(block),
        (resume) => socket.once('drain', resume),
      )
      expect(await client.answer()).toContain(`took ${BULK_BYTES}`)
      client.close()
    })
    expect(growth).toBeLessThan(RSS_GROWTH_BYTES)
  }, 120_000)

  it('comes down over HTTP/2', async () => {
    const growth = await rssGrowth(async () => {
      const client = await session()
      const stream = client.request({ ':path': '/team/down' })
      let received = 0
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length
      })
      await once(stream, 'end')
      expect(received).toBe(BULK_BYTES)
      client.destroy()
    })
    expect(growth).toBeLessThan(RSS_GROWTH_BYTES)
  }, 120_000)

  it('goes up over HTTP/2', async () => {
    const growth = await rssGrowth(async () => {
      const client = await session()
      const stream = client.request({ ':method': 'POST', ':path': '/team/up' }, { endStream: false })
      await pour(
        (block) => stream.write(block),
        (resume) => stream.once('drain', resume),
      )
      stream.end()
      let text = ''
      for await (const chunk of stream) text += chunk
      expect(text).toBe(`took ${BULK_BYTES}`)
      client.destroy()
    })
    expect(growth).toBeLessThan(RSS_GROWTH_BYTES)
  }, 120_000)

  it('stands still for a reader that does not read', async () => {
    const before = lab.web.asked.length
    const secure = await inspected(lab)
    secure.pause()
    secure.write('GET /team/down HTTP/1.1\r\nHost: paths.test\r\n\r\n')
    const isNew = () => (lab.web.asked.length > before && written > 0 ? true : undefined)
    await waitFor(isNew, 'the request')
    let moved = -1
    // Until the origin cannot write any more either.
    await waitFor(async () => {
      const still = written === moved
      moved = written
      if (!still) await new Promise((resolve) => setTimeout(resolve, 150))
      return still ? true : undefined
    }, 'backpressure')
    expect(moved).toBeLessThan(40_000_000)
    secure.destroy()
  })

  it('serves 100 streams of one connection at once, both ways', async () => {
    const client = await session()
    const answers = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const stream = client.request({ ':method': 'POST', ':path': '/team/up' }, { endStream: false })
        stream.end(Buffer.alloc(400_000))
        let text = ''
        for await (const chunk of stream) text += chunk
        return text
      }),
    )
    expect(new Set(answers)).toEqual(new Set(['took 400000']))
    client.destroy()
  })
})

describe('a WebSocket inside inspection', () => {
  const open = async (path: string, secure?: TLSSocket) => {
    const connection = secure ?? (await inspected(lab))
    return new WebSocket(`wss://paths.test${path}`, { createConnection: () => connection })
  }

  it('is carried both ways', async () => {
    const socket = await open('/team/ws')
    await once(socket, 'open')
    const big = 'y'.repeat(300_000)
    for (const message of ['hello', big]) {
      socket.send(message)
      const [data] = await once(socket, 'message')
      expect(String(data)).toBe(message)
    }
    socket.close(1000)
    const [code] = await once(socket, 'close')
    expect(code).toBe(1000)
    expect(lab.web.asked).toContain('UPGRADE /team/ws')
    const [event] = await lab.gateway.audit(1, (line) => line.kind === 'websocket' && line.path === '/team/ws')
    expect(event).toMatchObject({ event: 'allow', host: 'paths.test', port: 443, parent: expect.any(String) })
  })

  it('begins only after the origin has switched: its refusal is passed on', async () => {
    const socket = await open('/team/refused')
    const [, response] = await once(socket, 'unexpected-response')
    expect(response.statusCode).toBe(403)
    expect(response.headers['sallyport-reason']).toBeUndefined()
    socket.on('error', () => {})
    socket.terminate()
  })

  it('does not become another protocol', async () => {
    const socket = await open('/team/h2c')
    const [, response] = await once(socket, 'unexpected-response')
    expect(response.statusCode).toBe(502)
    expect(response.headers['sallyport-reason']).toBe('origin_protocol_error')
    socket.on('error', () => {})
    socket.terminate()
  })

  it('shows when its origin broke off, and the gateway goes on', async () => {
    const socket = await open('/team/breaking')
    const [code] = await once(socket, 'close')
    expect(code).toBe(1006)
    const again = await open('/team/ws')
    await once(again, 'open')
    again.terminate()
  })
})

describe('a drain', () => {
  it('ends idle sessions inside, and lets the others finish', async () => {
    const other = await startInspectionLab({ config: 'limits: { drainSeconds: 20 }' })
    const idle = await inspected(other, 'paths.test', ['h2'])
    const sessionOfIdle = connectH2('https://paths.test', { createConnection: () => idle })
    sessionOfIdle.on('error', () => {})
    await once(sessionOfIdle, 'remoteSettings')
    const kept = await inspectedRaw(other)
    kept.send('GET /team/a HTTP/1.1\r\nHost: paths.test\r\n\r\n')
    await kept.answer()
    const from = performance.now()
    await other.gateway.gateway.drain()
    expect(performance.now() - from).toBeLessThan(5_000)
    sessionOfIdle.destroy()
    kept.close()
    await other.stop()
  })
})
