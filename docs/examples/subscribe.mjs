// Prints what a chat's event stream says: node subscribe.mjs <token> <chat id> [cursor]
// It uses the WebSocket of Node 22; with Node 20 start it with --experimental-websocket.
const [token, chatId, after = null] = process.argv.slice(2);
const url = process.env.COLLOQUY_URL ?? 'ws://127.0.0.1:8080/graphql';

const query = `subscription ($chatId: ID!, $after: String) {
  chatEvents(chatId: $chatId, after: $after) {
    __typename cursor occurredAt actor { id }
    ... on MessageSent { message { id body } }
  }
}`;

const socket = new WebSocket(url, 'graphql-transport-ws');
const say = (message) => socket.send(JSON.stringify(message));

socket.onopen = () => say({ type: 'connection_init', payload: { Authorization: `Bearer ${token}` } });
socket.onclose = ({ code, reason }) => console.log('closed', code, reason);
socket.onmessage = ({ data }) => {
  console.log(data);
  if (JSON.parse(data).type === 'connection_ack') {
    say({ id: '1', type: 'subscribe', payload: { query, variables: { chatId, after } } });
  }
};
