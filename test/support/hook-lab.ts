import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NO_FEATURES } from '../security/lab.ts'
import { startGateway, type TestGateway } from './gateway.ts'
import { HttpOrigin } from './http-origin.ts'

export interface HookLabOptions {
  /** Other files of the same folder, by name. */
  readonly beside?: Readonly<Record<string, string>>
  /** More keys of `hooks`, as YAML in braces without them. */
  readonly settings?: string
  /** More YAML, at the top level. */
  readonly config?: string
}

export interface HookAnswer {
  readonly status: number
  readonly reason: string | null
  readonly hint: string | undefined
  readonly detail: string | undefined
}

/** A gateway with hooks, and an origin that is `a.test` and `b.test`, both listed, and `unlisted.test`, which is not. */
export class HookLab {
  readonly gateway: TestGateway
  readonly origin: HttpOrigin
  readonly folder: string
  readonly #yaml: () => string

  private constructor(gateway: TestGateway, origin: HttpOrigin, folder: string, yaml: () => string) {
    this.gateway = gateway
    this.origin = origin
    this.folder = folder
    this.#yaml = yaml
  }

  /** @param code the hook file, as the operator writes it */
  static async start(code: string, { beside = {}, settings = '', config = '' }: HookLabOptions = {}): Promise<HookLab> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-hooks-'))
    const origin = await HttpOrigin.start((_req, res) => void res.end('ok'))
    try {
      for (const [name, text] of Object.entries({ ...beside, 'hook.ts': code })) writeFileSync(join(folder, name), text)
      const pins = ['a.test', 'b.test', 'unlisted.test'].map((host) => `${host}: "127.0.0.1:${origin.port}"`)
      const yaml = () =>
        `features: ${NO_FEATURES}
hooks: { files: [${JSON.stringify(join(folder, 'hook.ts'))}], ${settings.includes('timeoutMs') ? '' : 'timeoutMs: 5000, '}${settings} }
rules: [{ name: listed, hosts: [a.test, b.test], ports: [80, 443] }, { name: never, hosts: [never.test], action: deny }]
destinations: { pin: { ${pins.join(', ')}, never.test: "127.0.0.1:${origin.port}" } }
${config}`
      return new HookLab(await startGateway(yaml()), origin, folder, yaml)
    } catch (error) {
      await origin.stop()
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Writes the hook anew and loads everything again. */
  reload(code: string) {
    writeFileSync(join(this.folder, 'hook.ts'), code)
    return this.gateway.reload(this.#yaml())
  }

  /** A plain-HTTP request through the gateway. */
  async get(
    url: string,
    { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
  ): Promise<HookAnswer> {
    const { request } = await import('node:http')
    return new Promise((resolve, reject) => {
      const { host } = new URL(url)
      const asked = request(
        { host: '127.0.0.1', port: this.gateway.port, method, path: url, headers: { Host: host, ...headers }, agent: false },
        (answer) => {
          let body = ''
          answer.setEncoding('utf8').on('data', (text: string) => {
            body += text
          })
          answer.on('end', () => {
            const isProblem = answer.headers['content-type'] === 'application/problem+json'
            const { hint, detail } = isProblem ? (JSON.parse(body) as { hint?: string; detail?: string }) : {}
            resolve({
              status: answer.statusCode ?? 0,
              reason: answer.headers['sallyport-reason']?.toString() ?? null,
              hint,
              detail,
            })
          })
        },
      )
      asked.on('error', reject)
      asked.end()
    })
  }

  async stop(): Promise<void> {
    await this.gateway.stop()
    await this.origin.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A hook file whose `onRequest` has this body. */
export function onRequest(body: string): string {
  return `import { defineHook } from 'sallyport'\nexport default defineHook({ async onRequest(request: any): Promise<any> {\n${body}\n} })\n`
}
