import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()

let server: Server | undefined
afterEach(() => server?.close())

async function listening(address: string, answer: RequestListener): Promise<number> {
  const started = createServer(answer)
  server = started
  await new Promise<void>((resolve) => started.listen(0, address, resolve))
  return (started.address() as AddressInfo).port
}

const health = (listen: string, rest = '') => sallyport(['health', '-c', write(`${rest}listen: { metrics: "${listen}" }`)])

describe('sallyport health', () => {
  it('exits 0 where the gateway is ready, with the first line of what it says', async () => {
    const asked: string[] = []
    const port = await listening('127.0.0.1', ({ url }, res) => {
      asked.push(url ?? '')
      res.end('ready\npolicy 0123456789ab\n')
    })
    expect(await health(`127.0.0.1:${port}`)).toEqual({ code: 0, stdout: 'ready\n', stderr: '' })
    expect(asked).toEqual(['/readyz'])
  })

  it('exits 1 where it is not', async () => {
    const port = await listening('127.0.0.1', (_, res) => res.writeHead(503).end('draining\n'))
    expect(await health(`127.0.0.1:${port}`)).toEqual({ code: 1, stdout: 'draining\n', stderr: '' })
  })

  it('asks on loopback where the gateway listens on every address', async () => {
    const port = await listening('127.0.0.1', (_, res) => res.end('ready\n'))
    expect((await health(`0.0.0.0:${port}`)).code).toBe(0)
  })

  it('exits 1 where nobody answers', async () => {
    const port = await listening('127.0.0.1', (_, res) => res.end())
    await new Promise((resolve) => server?.close(resolve))
    expect(await health(`127.0.0.1:${port}`)).toEqual({
      code: 1,
      stdout: '',
      stderr: `no answer from 127.0.0.1:${port}: nothing listens there; is the gateway running, with this config?\n`,
    })
  })

  it('exits 1 where the connection breaks off', async () => {
    const port = await listening('127.0.0.1', ({ socket }) => socket.destroy())
    const { code, stderr } = await health(`127.0.0.1:${port}`)
    expect(code).toBe(1)
    expect(stderr).toBe(`no answer from 127.0.0.1:${port}: ECONNRESET\n`)
  })

  it('shows no more of an endless answer than a line, and no control character', async () => {
    const port = await listening('127.0.0.1', (_, res) => {
      res.write('\u001b[31mred')
      const pour = () => {
        while (!res.destroyed && res.write('x'.repeat(65_536)));
      }
      res.on('drain', pour)
      pour()
    })
    const { stdout } = await health(`127.0.0.1:${port}`)
    expect(stdout).toMatch(/^\\u001b\[31mredx+\n$/)
    expect(stdout.length).toBeLessThan(5_000)
  })

  it('asks the running gateway even while the file is otherwise broken: it keeps its last good policy', async () => {
    const port = await listening('127.0.0.1', (_, res) => res.end('ready\n'))
    expect((await health(`127.0.0.1:${port}`, 'cloud: moon\n')).code).toBe(0)
  })

  it('exits 1 where the config leaves the port open', async () => {
    const { code, stderr } = await health('127.0.0.1:0')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^`listen\.metrics` has port 0/)
  })

  it('exits 78 where the config does not say where to ask', async () => {
    const { code, stderr } = await health('here')
    expect(code).toBe(78)
    expect(stderr).toMatch(/:1:20: `here` is not `address:port`/)
  })
})
