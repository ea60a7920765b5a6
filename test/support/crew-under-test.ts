import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from './gateway.ts'
import { type ProgramUnderTest, type StartOptions, startProgram } from './program-under-test.ts'
import { RawClient } from './raw-client.ts'

export interface ShownWorker {
  readonly worker: number
  readonly pid: number
  readonly serving: boolean
  readonly tunnels: number
  readonly connections: number
}

const TOKEN = 'a-token-for-tests-0123456789'

function head(tokenFile: string): string {
  return `listen: { proxy: "127.0.0.1:0", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }
workers: 2
admin: { tokenFile: ${JSON.stringify(tokenFile)} }
reload: { watch: false }
`
}

/** The built program with two workers. */
export class CrewUnderTest {
  readonly program: ProgramUnderTest
  readonly #folder: string
  readonly #clients: RawClient[] = []

  private constructor(program: ProgramUnderTest, folder: string) {
    this.program = program
    this.#folder = folder
  }

  /** @param yaml the config file, beside listeners, workers and token */
  static async start(yaml: string, options?: StartOptions): Promise<CrewUnderTest> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-token-'))
    const token = join(folder, 'token')
    writeFileSync(token, TOKEN)
    return new CrewUnderTest(await startProgram(`${head(token)}${yaml}`, options), folder)
  }

  get port(): number {
    return this.program.port('proxy')
  }

  async status(): Promise<Record<string, unknown> & { readonly workers: readonly ShownWorker[] }> {
    return (await this.program.ask('admin', '/api/v1/status')).json() as never
  }

  async workers(): Promise<readonly ShownWorker[]> {
    return (await this.status()).workers
  }

  /** Writes another config and loads it: the answer's status and body. */
  async reload(yaml: string): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    writeFileSync(this.program.configFile, `${head(join(this.#folder, 'token'))}${yaml}`)
    const answer = await this.#change('POST', '/api/v1/reload')
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
  }

  async endTunnel(id: string): Promise<number> {
    return (await this.#change('DELETE', `/api/v1/tunnels/${id}`)).status
  }

  /** A tunnel, or the answer that refuses it. */
  async tunnel(authority: string): Promise<RawClient> {
    const client = await this.connect()
    client.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
    const answer = await client.until((text) => text.includes('\r\n\r\n'))
    if (!answer.startsWith('HTTP/1.1 200 ')) throw new Error(answer)
    return client
  }

  async connect(): Promise<RawClient> {
    const client = await RawClient.connect(this.port)
    this.#clients.push(client)
    return client
  }

  /** Opens tunnels until each worker has so many, and gives them all. */
  async tunnelsOnEach(authority: string, each: number): Promise<RawClient[]> {
    const opened: RawClient[] = []
    await waitFor(async () => {
      opened.push(await this.tunnel(authority))
      return (await this.workers()).every(({ tunnels }) => tunnels >= each) ? true : undefined
    }, `${each} tunnels on each worker`)
    return opened
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close()
    await this.program.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #change(method: string, path: string): Promise<Response> {
    const url = `http://127.0.0.1:${this.program.port('admin')}${path}`
    return fetch(url, { method, headers: { Authorization: `Bearer ${TOKEN}` } })
  }
}
