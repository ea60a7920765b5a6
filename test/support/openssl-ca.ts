import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ServerCertificate {
  readonly cert: string
  readonly key: string
}

/** A throwaway CA made with openssl, in a folder of its own. */
export class OpensslCa {
  readonly folder = mkdtempSync(join(tmpdir(), 'sallyport-ca-'))
  readonly certificateFile = join(this.folder, 'ca.pem')
  readonly keyFile = join(this.folder, 'ca.key')
  #serial = 1

  constructor(name = 'Throwaway Root') {
    this.#openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '30',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      this.keyFile,
      '-out',
      this.certificateFile,
    )
    chmodSync(this.keyFile, 0o600)
  }

  get pem(): string {
    return readFileSync(this.certificateFile, 'utf8')
  }

  get keyPem(): string {
    return readFileSync(this.keyFile, 'utf8')
  }

  /** @param san as openssl writes it, `DNS:origin.test` or `IP:127.0.0.1` */
  issue(san: string, days: readonly string[] = ['-days', '10']): ServerCertificate {
    const base = join(this.folder, `leaf-${this.#serial++}`)
    writeFileSync(`${base}.ext`, `subjectAltName=${san}\n`)
    this.#openssl(
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=leaf',
      '-keyout',
      `${base}.key`,
      '-out',
      `${base}.csr`,
    )
    this.#openssl(
      'x509',
      '-req',
      '-in',
      `${base}.csr`,
      '-CA',
      this.certificateFile,
      '-CAkey',
      this.keyFile,
      '-CAcreateserial',
      ...days,
      '-extfile',
      `${base}.ext`,
      '-out',
      `${base}.pem`,
    )
    return { cert: readFileSync(`${base}.pem`, 'utf8'), key: readFileSync(`${base}.key`, 'utf8') }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #openssl(...words: string[]): void {
    execFileSync('openssl', words, { stdio: 'pipe' })
  }
}
