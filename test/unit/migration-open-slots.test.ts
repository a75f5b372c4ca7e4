import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Closing, decideOpenSlots, type OpenSlot, type PrimarySlots, parseOpenSlot } from '../../model/migration/open-slots.ts';

const id = (letter: string) => letter.repeat(40);
const [A, B, C, GONE] = [id('a'), id('b'), id('c'), id('d')];
const SLOT = 7;

interface Part {
  readonly owns?: boolean;
  readonly to?: string;
  readonly from?: string;
  readonly keys?: number;
}

const primary = (nodeId: string, { owns = false, to, from, keys = 0 }: Part = {}): PrimarySlots => ({
  nodeId,
  slots: owns ? [[0, 99]] : [[200, 299]],
  open: [
    ...(to === undefined ? [] : [{ slot: SLOT, state: 'migrating', peer: to } as const]),
    ...(from === undefined ? [] : [{ slot: SLOT, state: 'importing', peer: from } as const]),
  ],
  keys: { [SLOT]: keys },
});

const decide = (a: Part, b: Part = {}, c: Part = {}): Closing | undefined =>
  decideOpenSlots([primary(A, a), primary(B, b), primary(C, c)])[0];
const finish = (from: string, to: string) => ({ slot: SLOT, how: 'finish', from, to });
const settle = (owner: string) => ({ slot: SLOT, how: 'settle', owner });
const person = (...words: readonly string[]) => ({
  slot: SLOT,
  how: 'person',
  why: expect.stringMatching(new RegExp(words.map((word) => `(?=.*${word})`).join(''))),
});

describe('what a node says of an open slot', () => {
  test('is read as CLUSTER NODES shows it', () => {
    expect(parseOpenSlot(`[5461->-${A}]`)).toEqual({ slot: 5461, state: 'migrating', peer: A });
    expect(parseOpenSlot(`[0-<-${B}]`)).toEqual({ slot: 0, state: 'importing', peer: B });
  });

  test('is not made up from anything else', () => {
    for (const text of ['', '5461', '0-5460', `[16384->-${A}]`, `[1->-${A.slice(1)}]`, `[1-=-${A}]`, `[1->-${A}] `, '[]'])
      expect(parseOpenSlot(text)).toBeUndefined();
  });
});

describe('an open slot whose owner is the source is finished', () => {
  test('when both sides say so', () => {
    expect(decide({ owns: true, to: B, keys: 3 }, { from: A, keys: 2 })).toEqual(finish(A, B));
  });

  test('when only the source says so', () => {
    expect(decide({ owns: true, to: B, keys: 3 })).toEqual(finish(A, B));
  });

  test('when only the destination says so: the driver died between the two commands', () => {
    expect(decide({ owns: true, keys: 3 }, { from: A })).toEqual(finish(A, B));
  });

  test('but not while a third node has keys of it', () => {
    expect(decide({ owns: true, to: B, keys: 3 }, { from: A }, { keys: 1 })).toEqual(person(`${C} \\(1 key\\)`));
  });

  test('but not when the destination has keys from somebody else', () => {
    expect(decide({ owns: true, to: B, keys: 3 }, { from: C, keys: 1 })).toEqual(person(B, `importing from ${C}`));
  });
});

describe('an open slot whose owner is the destination is settled', () => {
  test('when its mark was left', () => {
    expect(decide({ to: B }, { owns: true, from: A, keys: 5 })).toEqual(settle(B));
    expect(decide({}, { owns: true, from: A, keys: 5 })).toEqual(settle(B));
  });

  test('when the source has learned of it but kept its mark', () => {
    expect(decide({ to: B }, { owns: true, keys: 5 })).toEqual(settle(B));
  });

  test('when somebody else owns it by now', () => {
    expect(decide({ to: B }, { from: A }, { owns: true, keys: 5 })).toEqual(settle(C));
  });

  test('but not while the source has keys: handing over would destroy them', () => {
    expect(decide({ to: B, keys: 34 }, { owns: true, from: A, keys: 5 })).toEqual(
      person(`${A} \\(migrating to ${B}, 34 keys\\)`, `${B} \\(owns it, importing from ${A}, 5 keys\\)`, 'CLUSTER GETKEYSINSLOT 7 100'),
    );
  });

  test('but not while a third node has keys', () => {
    expect(decide({ to: B }, { owns: true, keys: 5 }, { keys: 1 })).toEqual(person(C));
  });
});

describe('a slot that two nodes claim', () => {
  test('goes to the destination when the other hands it over and is empty: the driver died between its last commands', () => {
    expect(decide({ owns: true, to: B }, { owns: true, keys: 5 })).toEqual(settle(B));
    expect(decide({ owns: true, to: B }, { owns: true, from: A, keys: 5 })).toEqual(settle(B));
  });

  test('is for a person while the one that hands it over has keys', () => {
    expect(decide({ owns: true, to: B, keys: 1 }, { owns: true, keys: 5 })).toEqual(person('2 nodes claim it', A, B));
  });

  test('is for a person when neither hands it over, or both do', () => {
    expect(decide({ owns: true }, { owns: true, from: A })).toEqual(person('2 nodes claim it'));
    expect(decide({ owns: true, to: B }, { owns: true, to: A })).toEqual(person('2 nodes claim it'));
  });

  test('is for a person when a third claims it too', () => {
    expect(decide({ owns: true, to: B }, { owns: true }, { owns: true })).toEqual(person('3 nodes claim it', A, B, C));
  });
});

test('a slot that nobody owns is for a person', () => {
  expect(decide({ to: B }, { from: A, keys: 4 })).toEqual(person('no primary owns it', '4 keys', 'CLUSTER ADDSLOTS 7'));
});

describe('a mark that names a node which is no primary', () => {
  test('is cleared when only the owner has keys', () => {
    expect(decide({ owns: true, to: GONE, keys: 3 })).toEqual(settle(A));
    expect(decide({ owns: true, keys: 3 }, { from: GONE })).toEqual(settle(A));
    expect(decide({ owns: true, from: GONE, keys: 3 })).toEqual(settle(A));
    expect(decide({ owns: true, keys: 3 }, { to: GONE })).toEqual(settle(A));
  });

  test('is for a person when another node has keys: a replica that was promoted may have old values of them', () => {
    expect(decide({ owns: true, keys: 3 }, { from: GONE, keys: 1 })).toEqual(person(`importing from ${GONE}, which is no primary, 1 key`));
    expect(decide({ owns: true, to: GONE, keys: 3 }, { keys: 1 })).toEqual(person(`migrating to ${GONE}, which is no primary`));
    expect(decide({ owns: true, to: B, keys: 3 }, { from: GONE, keys: 1 })).toEqual(person(GONE));
  });
});

describe('a slot that two nodes import', () => {
  test('goes to the one that the owner names, when the other has no keys', () => {
    expect(decide({ owns: true, to: B, keys: 3 }, { from: A, keys: 1 }, { from: A })).toEqual(finish(A, B));
    expect(decide({ owns: true, to: B, keys: 3 }, {}, { from: A })).toEqual(finish(A, B));
  });

  test('is for a person when the other has keys', () => {
    expect(decide({ owns: true, to: B, keys: 3 }, { from: A }, { from: A, keys: 1 })).toEqual(person(C));
    expect(decide({ owns: true, to: B, keys: 3 }, { from: A, keys: 1 }, { from: A, keys: 1 })).toEqual(person(C));
  });

  test('stays with its owner when that names neither and neither has keys; with keys it is for a person', () => {
    expect(decide({ owns: true, keys: 3 }, { from: A }, { from: A })).toEqual(settle(A));
    expect(decide({ owns: true, keys: 3 }, { from: A, keys: 1 }, { from: A })).toEqual(person('no agreed destination', B));
  });
});

test('keys that were not counted are taken to be there', () => {
  const [a, b] = [primary(A, { to: B }), primary(B, { owns: true, keys: 5 })];
  expect(decideOpenSlots([{ ...a, keys: {} }, b])[0]).toEqual(person('keys not counted'));
});

test('a mark that names its own node is cleared', () => {
  expect(decide({ owns: true, to: A, keys: 3 })).toEqual(settle(A));
});

test('with no slot open there is nothing to decide', () => {
  expect(decideOpenSlots([primary(A, { owns: true, keys: 3 }), primary(B)])).toEqual([]);
});

/** A primary, with what the driver's commands do to it. */
const fakePrimary = (nodeId: string) => {
  const owned = new Set<number>();
  const marks = new Map<number, OpenSlot>();
  const keys = new Map<number, number>();
  return {
    nodeId,
    owned,
    addKeys: (slot: number, more: number) => keys.set(slot, (keys.get(slot) ?? 0) + more),
    mark: (slot: number, state: OpenSlot['state'], peer: string) => marks.set(slot, { slot, state, peer }),
    setNode: (slot: number, owner: string) => {
      marks.delete(slot);
      if (owner === nodeId) owned.add(slot);
      else owned.delete(slot);
    },
    said: (slots: readonly number[]): PrimarySlots => ({
      nodeId,
      slots: [...owned].map((slot) => [slot, slot]),
      open: [...marks.values()],
      keys: Object.fromEntries(slots.map((slot) => [slot, keys.get(slot) ?? 0])),
    }),
  };
};

/** The commands of a standard driver for one slot, phase by phase. With gossip the source learns of the new owner before it is told. */
function drive(nodes: readonly ReturnType<typeof fakePrimary>[], { slot, from: first, hop, keys, gossip }: Drive) {
  const from = nodes[first % nodes.length] ?? fakePrimary('');
  const others = nodes.filter((node) => node !== from);
  const to = others[hop % others.length] ?? fakePrimary('');
  from.owned.add(slot);
  from.addKeys(slot, keys);
  const moveKey = () => {
    from.addKeys(slot, -1);
    to.addKeys(slot, 1);
  };
  return [
    [() => to.mark(slot, 'importing', from.nodeId)],
    [() => from.mark(slot, 'migrating', to.nodeId)],
    Array.from({ length: keys }, () => moveKey),
    [() => to.setNode(slot, to.nodeId), ...(gossip ? [() => from.owned.delete(slot)] : [])],
    [() => from.setNode(slot, to.nodeId)],
    others.filter((node) => node !== to).map((node) => () => node.setNode(slot, to.nodeId)),
  ];
}

interface Drive {
  readonly slot: number;
  readonly from: number;
  readonly hop: number;
  readonly keys: number;
  readonly gossip: boolean;
}

const checkSafe = (primaries: readonly PrimarySlots[], closings: readonly Closing[]) => {
  const owns = (nodeId: string, slot: number) =>
    primaries.some((one) => one.nodeId === nodeId && one.slots.some(([from, to]) => from <= slot && slot <= to));
  const open = new Set(primaries.flatMap((one) => one.open.map(({ slot }) => slot)));
  expect(closings.map(({ slot }) => slot)).toEqual([...open].sort((a, b) => a - b));
  for (const closing of closings) {
    const { slot } = closing;
    if (closing.how === 'person') continue;
    const safe = closing.how === 'settle' ? [closing.owner] : [closing.from, closing.to];
    expect(safe.every((nodeId) => primaries.some((one) => one.nodeId === nodeId))).toBe(true);
    expect(new Set(safe).size).toBe(safe.length);
    expect(owns(safe[0] ?? '', slot)).toBe(true);
    for (const one of primaries) if (!safe.includes(one.nodeId)) expect(one.keys[slot]).toBe(0);
  }
};

test('whatever a driver leaves when it dies in a move is closed without a person', () => {
  const one = fc.record({ slot: fc.nat(40), from: fc.nat(4), hop: fc.nat(3), keys: fc.nat(4), gossip: fc.boolean() });
  const some = fc.uniqueArray(one, { selector: ({ slot }) => slot, minLength: 1, maxLength: 12 });
  const seen = { finish: 0, settle: 0 };
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 5 }), some, fc.integer({ min: 0, max: 1000 }), fc.boolean(), (size, drives, cut, together) => {
      const nodes = Array.from({ length: size }, (_, i) => fakePrimary(id(`${i}`)));
      const phases = drives.map((one) => drive(nodes, one));
      // A driver does each phase for all its slots, or one slot after the other.
      const steps = together ? [0, 1, 2, 3, 4, 5].flatMap((phase) => phases.flatMap((its) => its[phase] ?? [])) : phases.flat(2);
      for (const step of steps.slice(0, Math.round((cut * steps.length) / 1000))) step();
      const primaries = nodes.map((node) => node.said(drives.map(({ slot }) => slot)));
      const closings = decideOpenSlots(primaries);
      checkSafe(primaries, closings);
      for (const { how } of closings) {
        expect(how).not.toBe('person');
        if (how !== 'person') seen[how]++;
      }
    }),
    { numRuns: 500 },
  );
  expect(seen.finish).toBeGreaterThan(100);
  expect(seen.settle).toBeGreaterThan(10);
});

test('no decision but a person’s puts a key at risk, whatever the nodes say', () => {
  const ids = [A, B, C, GONE];
  const peer = fc.option(fc.constantFrom(...ids), { nil: undefined, freq: 2 });
  const part = fc.record({ owns: fc.boolean(), to: peer, from: peer, keys: fc.constantFrom(0, 0, 0, 1, 5) });
  const seen = { finish: 0, settle: 0, person: 0 };
  fc.assert(
    fc.property(part, part, part, (a, b, c) => {
      const plain = ({
        owns,
        to,
        from,
        keys,
      }: {
        owns: boolean;
        to: string | undefined;
        from: string | undefined;
        keys: number;
      }): Part => ({
        owns,
        keys,
        ...(to === undefined ? {} : { to }),
        ...(from === undefined ? {} : { from }),
      });
      const primaries = [primary(A, plain(a)), primary(B, plain(b)), primary(C, plain(c))];
      const closings = decideOpenSlots(primaries);
      checkSafe(primaries, closings);
      for (const { how } of closings) seen[how]++;
    }),
    { numRuns: 2000 },
  );
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(20);
});
