/** A client's side of Colloquy over Socket.IO: connecting, sending, and following chats across reconnects. */

import { type Socket, io } from "socket.io-client";

/** Why something was not done. */
export interface Failure {
  /** The kind, by the codes of the API, such as `NOT_FOUND`. */
  code: string;
  message: string;
  field?: string[];
  /** After how many seconds to try again. */
  retryAfter?: number;
}

/** What is thrown for what is refused. */
export class ColloquyError extends Error {
  constructor(readonly failure: Failure) {
    super(`${failure.code}: ${failure.message}`);
  }

  get code(): string {
    return this.failure.code;
  }
}

/** A file. Its bytes are had by GraphQL: `node(id: …) { ... on Attachment { downloadUrl } }`. */
export interface Attachment {
  id: string;
  name: string;
  contentType: string;
  size: number;
  /** Of an image, in pixels. */
  width: number | null;
  height: number | null;
}

export interface Message {
  id: string;
  body: string | null;
  subject: string | null;
  attachments: Attachment[];
  replyTo: { id: string } | null;
  sender: { id: string; displayName: string };
}

export interface ChatEvent {
  chatId: string;
  type: string;
  cursor: string;
  occurredAt: string;
  actor: { id: string; displayName: string } | null;
  message?: Message;
}

export interface ChatUpdate {
  chatId: string;
  kind: string;
  chat: { id: string; title: string | null; unreadCount: number } | null;
}

export interface NewMessage {
  chatId: string;
  /** Left out beside attachments alone. */
  body?: string;
  /** Files that were uploaded by GraphQL: `createUpload`, then `finalizeUpload`. */
  attachmentIds?: string[];
  subject?: string;
  replyToId?: string;
  metadata?: Record<string, unknown>;
  /** New for each message, and the same for each try of one. */
  idempotencyKey?: string;
}

type Outcome<T> = ({ ok: true } & T) | { ok: false; error: Failure };

interface Follower {
  /** The place behind which the next event comes; unknown until the server has said it. */
  after: string | undefined;
  onEvent: (event: ChatEvent) => void;
  onEnd: (error?: Failure) => void;
}

/** What passes by itself, so that the same is worth another try. */
const PASSING = new Set(["RATE_LIMITED", "TOO_MANY_OPERATIONS", "SERVICE_UNAVAILABLE"]);

/** How long an answer may take. */
const WITHIN = 10_000;

export class Colloquy {
  readonly socket: Socket;
  readonly #followers = new Map<string, Follower>();
  readonly #retries = new Set<NodeJS.Timeout>();

  /** Connects to a server. `token` is asked for each time that the client connects, so that it can be a new one. */
  constructor(url: string, token: () => Promise<string>) {
    this.socket = io(url, {
      // Long polling is not served: its requests would have to find one server each time.
      transports: ["websocket"],
      forceNew: true,
      // Without a token the server says no, which ends as any other refusal does.
      auth: (give) => void token().then((token) => give({ token }), () => give({})),
    });
    this.socket.on("connect_error", (error) => {
      const failure = (error as { data?: Failure }).data;
      if (failure && PASSING.has(failure.code)) this.#later(failure, () => this.socket.connect());
    });
    this.socket.on("connect", () => {
      this.#forgetRetries();
      // The server forgets what was followed with the connection: go on where it ended.
      for (const chatId of this.#followers.keys()) this.#resume(chatId);
    });
    this.socket.on("chat:event", (event: ChatEvent) => {
      const follower = this.#followers.get(event.chatId);
      if (!follower) return;
      follower.after = event.cursor;
      follower.onEvent(event);
    });
    this.socket.on("chat:end", ({ chatId, error }: { chatId: string; error?: Failure }) => this.#end(chatId, error));
  }

  /** Waits until the client is connected; fails where the server does not want it. */
  async ready(): Promise<void> {
    if (this.socket.connected) return;
    await new Promise<void>((resolve, reject) => {
      this.socket.once("connect", resolve);
      this.socket.once("connect_error", (error) => {
        const failure = (error as { data?: Failure }).data;
        reject(failure ? new ColloquyError(failure) : error);
      });
    });
  }

  async emit<T>(event: string, argument: Record<string, unknown> = {}): Promise<T> {
    const outcome = (await this.socket.timeout(WITHIN).emitWithAck(event, argument)) as Outcome<T>;
    if (!outcome.ok) throw new ColloquyError(outcome.error);
    return outcome;
  }

  async send(message: NewMessage): Promise<Message> {
    return (await this.emit<{ message: Message }>("message:send", { ...message })).message;
  }

  /** Follows a chat, each event once, until it is unfollowed or lost; also when the connection is lost meanwhile. */
  async follow(
    chatId: string,
    onEvent: Follower["onEvent"],
    { after, onEnd = () => {} }: { after?: string; onEnd?: Follower["onEnd"] } = {},
  ): Promise<void> {
    const follower: Follower = { after, onEvent, onEnd };
    await this.ready();
    if (this.#followers.has(chatId)) throw new Error("the chat is followed already");
    this.#followers.set(chatId, follower);
    try {
      await this.#ask(chatId, follower);
    } catch (error) {
      this.#followers.delete(chatId);
      // The answer may only have been late.
      if (!(error instanceof ColloquyError)) this.socket.emit("chat:unfollow", { chatId });
      throw error;
    }
  }

  async unfollow(chatId: string): Promise<void> {
    this.#followers.delete(chatId);
    await this.emit("chat:unfollow", { chatId });
  }

  close(): void {
    this.#forgetRetries();
    this.socket.disconnect();
  }

  async #ask(chatId: string, follower: Follower): Promise<void> {
    const after = follower.after === undefined ? {} : { after: follower.after };
    const { cursor } = await this.emit<{ cursor: string }>("chat:follow", { chatId, ...after });
    // Events may have come before this is looked at.
    follower.after ??= cursor;
  }

  #resume(chatId: string): void {
    const follower = this.#followers.get(chatId);
    if (!follower) return;
    this.#ask(chatId, follower).catch((error: unknown) => {
      // Without a failure of the server's, the connection is gone again: the next one resumes.
      if (!(error instanceof ColloquyError)) return;
      if (PASSING.has(error.code)) this.#later(error.failure, () => this.#resume(chatId));
      else this.#end(chatId, error.failure);
    });
  }

  /** Does something when the server may take it, unless the connection is another by then. */
  #later(failure: Failure, what: () => void): void {
    const seconds = (failure.retryAfter ?? 5) * (1 + Math.random());
    const retry = setTimeout(() => {
      this.#retries.delete(retry);
      what();
    }, seconds * 1000);
    this.#retries.add(retry);
  }

  #forgetRetries(): void {
    this.#retries.forEach((retry) => clearTimeout(retry));
    this.#retries.clear();
  }

  #end(chatId: string, error?: Failure): void {
    const follower = this.#followers.get(chatId);
    this.#followers.delete(chatId);
    follower?.onEnd(error);
  }
}
