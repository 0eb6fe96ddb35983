/**
 * An emulated machine with persistent memory: two NVDIMMs and a virtio-pmem device, each a file of the host, which is all that outlives the machine.
 * What the first process of the machine says in lines that begin with "@ " are facts; what its load acknowledges comes through a port of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cleanCommand, cleanEnvironment } from '../helpers/environment.js';
import { sleep, waitFor } from '../helpers/run.js';

/* One processor: where QEMU emulates several in threads, the kernel's patching of its own code was seen to crash one of them while booting. */

/** NVDIMMs 0 and 1, and the virtio device. */
const MEDIA = ['nvdimm0', 'nvdimm1', 'virtio'] as const;
const MEDIUM_BYTES = 512 * 1024 * 1024;
/** Software emulation of the processor: a boot takes ten seconds, node starts in three. */
const PATIENCE_MS = 240_000;

export interface Boot {
  readonly step: 'setup' | 'crash' | 'last';
  readonly seed: number;
  /** The last number of each stream, `VOLUME.STREAM`. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** The only stream of the load; all if there is none. */
  readonly only?: string;
}

export class Machine {
  /** What follows the "@ ". */
  readonly facts: string[] = [];
  private readonly child: ChildProcess;
  private readonly acknowledgements: string;
  private running = true;
  private readonly ended: Promise<void>;

  /**
   * Boots. `files` has vmlinuz and initramfs.cpio, `directory` gets the media, the consoles' log and the acknowledgements.
   */
  constructor(files: string, directory: string, { step, seed, acknowledged, only }: Boot) {
    for (const name of MEDIA) {
      const path = join(directory, name);
      if (existsSync(path)) continue;
      writeFileSync(path, '');
      truncateSync(path, MEDIUM_BYTES);
    }
    this.acknowledgements = join(directory, 'acknowledgements');
    writeFileSync(this.acknowledgements, '');
    const known = [...acknowledged].map(([stream, number]) => `${stream}=${String(number)}`).join(',');
    const words = `console=ttyS0 quiet loglevel=1 panic=-1 step=${step} seed=${String(seed)} acked=${known === '' ? 'none' : known}${only === undefined ? '' : ` only=${only}`}`;
    const memory = MEDIA.flatMap((name, index) => {
      const device = index < 2 ? `nvdimm,id=device${String(index)}` : 'virtio-pmem-pci';
      return ['-object', `memory-backend-file,id=${name},share=on,mem-path=${join(directory, name)},size=${String(MEDIUM_BYTES)}`, '-device', `${device},memdev=${name}`];
    });
    const args = [
      ...['-accel', 'tcg', '-machine', 'q35,nvdimm=on', '-cpu', 'max', '-smp', '1', '-m', '2G,slots=4,maxmem=8G'],
      ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...['-kernel', join(files, 'kernel/vmlinuz'), '-initrd', join(files, 'initramfs.cpio'), '-append', words],
      ...['-chardev', `file,id=acknowledgements,path=${this.acknowledgements}`, '-device', 'isa-debugcon,iobase=0xe9,chardev=acknowledgements'],
      ...memory,
    ];
    // It ends with this process, whatever happens to that.
    this.child = spawn(...cleanCommand('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args]), { cwd: '/', env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
    const log = createWriteStream(join(directory, 'console.log'), { flags: 'a' });
    log.write(`\n---- ${step}\n`);
    this.ended = new Promise((resolve) => {
      this.child.on('close', () => {
        this.running = false;
        log.end();
        resolve();
      });
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        const text = line.replaceAll('\r', '');
        log.write(`${text}\n`);
        const fact = /(?:^|\s)@ (.*)$/.exec(text);
        if (fact !== null) this.facts.push(fact[1] ?? '');
      });
    }
  }

  /** Waits for a fact; throws when the machine says that something failed, ends, or takes too long. */
  async until(fact: string): Promise<void> {
    for (const end = Date.now() + PATIENCE_MS; !this.facts.includes(fact); await sleep(50)) {
      this.checkSound();
      if (!this.running) throw new Error(`the machine ended before it said '${fact}'`);
      if (Date.now() > end) throw new Error(`the machine did not say '${fact}' within ${String(PATIENCE_MS / 1000)} s`);
    }
  }

  /** Waits until so many streams have acknowledged something since the boot. */
  async acknowledgedBy(streams: number): Promise<void> {
    for (const end = Date.now() + PATIENCE_MS; this.acknowledged().size < streams; await sleep(50)) {
      this.checkSound();
      if (Date.now() > end) throw new Error(`only ${String(this.acknowledged().size)} of ${String(streams)} streams go on`);
    }
  }

  private checkSound(): void {
    const failure = this.facts.find((known) => known.startsWith('failed'));
    if (failure !== undefined) throw new Error(`the machine says: ${failure}`);
  }

  /** Waits until the machine has switched itself off. */
  async off(): Promise<void> {
    await this.until('done');
    await waitFor('the machine to switch itself off', () => !this.running, PATIENCE_MS);
  }

  /** As a power failure; returns when nothing of it is left. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** The last number that each stream has acknowledged since the boot. A line without its end was not acknowledged. */
  acknowledged(): Map<string, number> {
    const numbers = new Map<string, number>();
    const lines = readFileSync(this.acknowledgements, 'latin1').split('\n');
    lines.pop();
    for (const line of lines) {
      const [stream = '', number] = line.split(' ');
      numbers.set(stream, Number(number));
    }
    return numbers;
  }
}
