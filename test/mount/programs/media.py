"""Finds structures of an unmounted volume by doc/FORMAT.md alone, and damages them.

    media.py IMAGE superblocks           prints the addresses of primary and backup
    media.py IMAGE inode INO             prints the address of an inode record
    media.py IMAGE node INO              prints the address of a leaf of the inode's tree
    media.py IMAGE flip ADDRESS LENGTH   inverts bytes; a second time restores them
    media.py IMAGE incompat BIT          sets a feature bit in both superblocks, with right checksums
"""
import struct
import sys

BLOCK = 4096
TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


class Image:
    def __init__(self, path):
        self.file = open(path, "r+b")
        superblock = self.read(0, BLOCK)
        if superblock[24:32] != b"NVMFS\r\n\x1a":
            raise SystemExit("no primary superblock")
        self.blocks = struct.unpack_from("<Q", superblock, 128)[0]
        self.table_root = self.read(BLOCK + 128, 128)

    def read(self, address, length):
        self.file.seek(address)
        return self.file.read(length)

    def write(self, address, data):
        self.file.seek(address)
        self.file.write(data)
        self.file.flush()

    def items(self, area):
        for i in range(struct.unpack_from("<H", area, 0)[0]):
            offset, length = struct.unpack_from("<HH", area, 8 + 4 * i)
            yield struct.unpack_from("<Q", area, offset)[0], area[offset + 8:offset + 8 + length]

    def leaves(self, root):
        """Block numbers of the leaves of a tree (None: the items are in the root) with their item areas."""
        depth, first = struct.unpack_from("<H", root, 0)[0], struct.unpack_from("<Q", root, 8)[0]
        if depth == 0:
            yield None, root[8:]
            return
        pending = [first]
        while pending:
            block = pending.pop(0)
            node = self.read(block * BLOCK, BLOCK)
            if struct.unpack_from("<H", node, 24)[0] == 0:
                yield block, node[32:]
            else:
                pending += [struct.unpack("<Q", payload)[0] for _, payload in self.items(node[32:])]

    def inode_address(self, ino):
        for _, area in self.leaves(self.table_root):
            for key, payload in self.items(area):
                block, length = struct.unpack_from("<QI", payload, 0)
                if key <= ino // 16 < key + length:
                    return (block + ino // 16 - key) * BLOCK + ino % 16 * 256
        raise SystemExit(f"inode {ino} is not in the inode table")

    def leaf_address(self, ino):
        record = self.read(self.inode_address(ino), 256)
        if struct.unpack_from("<Q", record, 8)[0] != ino:
            raise SystemExit(f"the record of inode {ino} is that of another")
        blocks = [block for block, _ in self.leaves(record[128:])]
        if blocks[0] is None:
            raise SystemExit(f"the tree of inode {ino} has no nodes")
        return blocks[len(blocks) // 2] * BLOCK


image = Image(sys.argv[1])
what, numbers = sys.argv[2], [int(word) for word in sys.argv[3:]]
if what == "superblocks":
    print(0, (image.blocks - 1) * BLOCK)
elif what == "inode":
    print(image.inode_address(numbers[0]))
elif what == "node":
    print(image.leaf_address(numbers[0]))
elif what == "flip":
    image.write(numbers[0], bytes(byte ^ 0xFF for byte in image.read(numbers[0], numbers[1])))
elif what == "incompat":
    for address in (0, (image.blocks - 1) * BLOCK):
        block = bytearray(image.read(address, BLOCK))
        struct.pack_into("<I", block, 44, struct.unpack_from("<I", block, 44)[0] | 1 << numbers[0])
        # Checksum: continued from seed 0 in the superblock.
        struct.pack_into("<I", block, 0, crc32c(block[4:]))
        image.write(address, block)
else:
    raise SystemExit(__doc__)
