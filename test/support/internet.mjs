// Origins and a name server for a namespace that plays the internet: started by `subnet-lab.ts`, told what to serve on standard
// input, tells what arrives on standard output, a JSON line each.
import { createSocket } from 'node:dgram'
import { createServer as createHttp } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { connect, createServer as createTcp } from 'node:net'

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const plain = (address) => (address ?? '').replace(/^::ffff:/, '')

/** What every HTTP origin answers: where the request arrived, and what it said. */
function answer(service) {
  return (req, res) => {
    const to = `${plain(req.socket.localAddress)}:${req.socket.localPort}`
    tell({
      what: 'request',
      to,
      method: req.method,
      host: req.headers.host ?? null,
      path: req.url,
      serverName: req.socket.servername || null,
    })
    const body = `${service.kind} ${to} ${req.headers.host} ${req.url}\n`
    res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) })
    res.end(body)
  }
}

/** A TCP service that says something first, sends back what it gets, or both. */
function echo(service) {
  return createTcp((socket) => {
    socket.on('error', () => {})
    if (service.greeting !== undefined) socket.write(service.greeting)
    socket.pipe(socket)
  })
}

/** A parent proxy: CONNECT, and nothing else. */
function proxy(service) {
  return createTcp((socket) => {
    socket.on('error', () => {})
    socket.once('data', (head) => {
      const port = Number(/^CONNECT \S+:(\d+) /.exec(head.toString('latin1'))?.[1])
      const origin = connect({ host: service.to, port, localAddress: service.address }, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        socket.pipe(origin).pipe(socket)
      })
      origin.on('error', () => socket.destroy())
    })
  })
}

function serverFor(service) {
  if (service.kind === 'proxy') return proxy(service)
  if (service.kind === 'https') return createHttps({ cert: service.cert, key: service.key }, answer(service))
  if (service.kind === 'http') return createHttp(answer(service))
  return echo(service)
}

function serveTcp(service) {
  const server = serverFor(service)
  server.on('connection', (socket) => {
    socket.on('error', () => {})
    tell({ what: 'connection', to: `${plain(socket.localAddress)}:${socket.localPort}`, from: plain(socket.remoteAddress) })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: service.address, port: service.port, ipv6Only: true }, resolve)
  })
}

function serveUdp(service) {
  const socket = createSocket({ type: service.address.includes(':') ? 'udp6' : 'udp4', ipv6Only: service.address.includes(':') })
  socket.on('message', (message, from) => {
    tell({ what: 'datagram', to: `${service.address}:${service.port}`, from: from.address, bytes: message.length })
    socket.send(message, from.port, from.address)
  })
  return new Promise((resolve) => socket.bind(service.port, service.address, resolve))
}

const encodeName = (name) =>
  Buffer.concat([...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])])

function encodeAddress(text) {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number))
  const [left, right] = text.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const words = [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail].map((word) => Number.parseInt(word, 16))
  return Buffer.from(words.flatMap((word) => [word >> 8, word & 255]))
}

/** RFC 1035: A and AAAA of the names in the zone, NXDOMAIN of all others. */
function serveNames({ address, port, zone }) {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.on('message', (message, from) => {
    const labels = []
    let at = 12
    for (; message[at] > 0; at += 1 + message[at]) labels.push(message.toString('latin1', at + 1, at + 1 + message[at]))
    const name = labels.join('.').toLowerCase()
    const type = message.readUInt16BE(at + 1)
    tell({ what: 'lookup', name, type: type === 1 ? 'A' : type === 28 ? 'AAAA' : String(type), from: from.address })
    const known = zone[name]
    const family = type === 1 ? 4 : type === 28 ? 6 : 0
    const records = (known ?? []).filter((one) => (one.includes(':') ? 6 : 4) === family)
    const head = Buffer.alloc(12)
    message.copy(head, 0, 0, 2)
    head.writeUInt16BE(known === undefined ? 0x8583 : 0x8580, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(records.length, 6)
    const answers = records.map((one) => {
      const data = encodeAddress(one)
      const fixed = Buffer.alloc(10)
      fixed.writeUInt16BE(type, 0)
      fixed.writeUInt16BE(1, 2)
      fixed.writeUInt32BE(1, 4)
      fixed.writeUInt16BE(data.length, 8)
      return Buffer.concat([encodeName(name), fixed, data])
    })
    socket.send(Buffer.concat([head, message.subarray(12, at + 5), ...answers]), from.port, from.address)
  })
  return new Promise((resolve) => socket.bind(port, address, resolve))
}

let text = ''
for await (const chunk of process.stdin.setEncoding('utf8')) {
  text += chunk
  if (text.endsWith('\n')) break
}
const { services, names } = JSON.parse(text)
for (const service of services) await (service.kind === 'udp' ? serveUdp(service) : serveTcp(service))
for (const at of names.listen) await serveNames({ ...at, zone: names.zone })
tell({ what: 'ready' })
