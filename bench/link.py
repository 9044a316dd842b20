"""A link with latency and a bandwidth of its own, in front of a local server: what is written at one end comes out later."""

import asyncio
import socket
import threading

RATE = 50e6 / 8  # bytes per second, each way
DELAY = 0.02  # seconds, each way
BLOCK = 16 << 10


class Link:
    """Open until the end of a `with`; counts what went through it, both ways."""

    def __init__(self, target):
        self.target = target
        self.bytes = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        # When each direction has sent all that it was given; the connections share it.
        self.free = {"there": 0, "back": 0}
        self.loop = asyncio.new_event_loop()

    def __enter__(self):
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.connect, sock=self.socket))
        self.loop.run_forever()

    async def connect(self, reader, writer):
        # SYN and its answer.
        await asyncio.sleep(2 * DELAY)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self.carry("there", reader, far_writer), self.carry("back", far_reader, writer))

    async def carry(self, way, reader, writer):
        # As much as is under way at a time, and no more.
        under_way = asyncio.Queue(int(RATE * DELAY / BLOCK) + 1)
        arrive = asyncio.ensure_future(self.arrive(under_way, writer))
        while block := await reader.read(BLOCK):
            self.bytes += len(block)
            self.free[way] = max(self.loop.time(), self.free[way]) + len(block) / RATE
            await asyncio.sleep(self.free[way] - self.loop.time())
            await under_way.put((self.free[way] + DELAY, block))
        await under_way.put((0, b""))
        await arrive

    async def arrive(self, under_way, writer):
        while True:
            due, block = await under_way.get()
            if not block:
                return writer.close()
            await asyncio.sleep(due - self.loop.time())
            writer.write(block)
            await writer.drain()
