import { once } from 'node:events'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { RawClient } from './raw-client.ts'

/** Opens a CONNECT tunnel through the gateway; throws with the answer where it is refused. */
export async function openTunnel(port: number, authority: string): Promise<RawClient> {
  const client = await RawClient.connect(port)
  client.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
  const answer = await client.until((text) => text.includes('\r\n\r\n'))
  if (!answer.startsWith('HTTP/1.1 200 ')) throw new Error(answer)
  return client
}

/** TLS through a tunnel; rejects with the client's own error. */
export async function openTls(port: number, authority: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const tunnel = await openTunnel(port, authority)
  const { socket } = tunnel
  socket.removeAllListeners('data')
  const host = authority.slice(0, authority.lastIndexOf(':'))
  const secure = connectTls({ socket, servername: host, ...options })
  await once(secure, 'secureConnect')
  return secure
}

/** Sends one HTTP/1.1 request on a connection and reads its answer by Content-Length or to the end. */
export async function request(secure: TLSSocket, text: string): Promise<string> {
  const chunks: Buffer[] = []
  const done = new Promise<string>((resolve, reject) => {
    const read = () => Buffer.concat(chunks).toString('latin1')
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      const answer = read()
      const end = answer.indexOf('\r\n\r\n')
      const length = /\r\ncontent-length: (\d+)/i.exec(answer.slice(0, Math.max(end, 0)))
      if (end >= 0 && length !== null && answer.length >= end + 4 + Number(length[1])) settle()
    }
    const settle = () => {
      secure.off('data', onData)
      resolve(read())
    }
    secure.on('data', onData)
    secure.once('end', settle)
    secure.once('error', reject)
  })
  secure.write(Buffer.from(text, 'latin1'))
  return done
}
