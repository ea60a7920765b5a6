// The least a CONNECT proxy in Node can be: the parser, one comparison, a dial and `pipe` both ways. No vetting, no opening, no
// log, no metric. What the portable relay is measured against.
import { createServer } from 'node:http'
import { connect } from 'node:net'

const [port, ...allowed] = process.argv.slice(2)
const hosts = new Set(allowed)

const server = createServer((_req, res) => res.writeHead(403).end())
server.on('connect', (req, client, head) => {
  const at = req.url.lastIndexOf(':')
  const host = req.url.slice(0, at)
  client.on('error', () => client.destroy())
  if (!hosts.has(host)) return client.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
  const origin = connect({ host: '127.0.0.1', port: Number(req.url.slice(at + 1)), allowHalfOpen: true, noDelay: true }, () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (head.length > 0) origin.write(head)
    client.pipe(origin)
    origin.pipe(client)
  })
  origin.on('error', () => client.destroy()).on('close', () => client.destroy())
  client.on('close', () => origin.destroy())
})
server.listen(Number(port), '127.0.0.1')
