/** The shared rooms this person belongs to, as the server knows them. */
import type { RoomInfo } from '../../server/protocol.ts';
import { listRooms } from '../chat/index.ts';

class Rooms {
  list: readonly RoomInfo[] = $state.raw([]);

  async load(): Promise<void> {
    const reply = await listRooms();
    // Unreachable or signed out: what was known is still the best answer.
    if (reply.ok) this.list = reply.rooms.filter((info) => info.room.startsWith('class:'));
  }

  find(room: string): RoomInfo | undefined {
    return this.list.find((info) => info.room === room);
  }
}

export const rooms = new Rooms();
