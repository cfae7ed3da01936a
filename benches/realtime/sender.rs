//! Senders: at a rate, whatever the answers take, as long as they keep up with it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::sleep_until;

use crate::client::{Client, post};
use crate::people::{Chats, body, chat_id, token};
use crate::tally::Tally;

const SEND: &str = "mutation Send($input: SendMessageInput!) { sendMessage(input: $input) \
    { message { id createdAt } userErrors { code message } } }";

/// The most connections that send. One chat's messages all go over one connection, so their order is known.
const SENDERS: u32 = 10;

/// How many messages a second are sent to all chats together, and how many to each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) per_second: u32,
    pub(crate) to_each: u32,
}

/// Sends to all chats in turns, to each from the message `1 + past` on. Says how long it took.
pub(crate) async fn send(
    address: SocketAddr,
    chats: Chats,
    pace: Pace,
    tally: &Tally,
) -> Result<Duration> {
    let began = Instant::now();
    let senders = SENDERS.min(chats.count);
    let sending = (0..senders).map(async |sender| {
        let mut client = Client::connect(address).await?;
        let mine = (0..chats.count).filter(|chat| chat % senders == sender);
        let mine: Vec<(u32, String)> = mine
            .map(|chat| Ok((chat, token(chats.sender(chats.first + chat))?)))
            .collect::<Result<_>>()?;
        for round in 0..pace.to_each {
            for (chat, token) in &mine {
                let turn = f64::from(round) * f64::from(chats.count) + f64::from(*chat);
                let at = began + Duration::from_secs_f64(turn / f64::from(pace.per_second));
                sleep_until(at.into()).await;
                let number = chats.past + round + 1;
                send_one(&mut client, token, chats.first + chat, number, tally).await?;
            }
        }
        anyhow::Ok(())
    });
    try_join_all(sending).await?;
    let took = began.elapsed();
    let planned = f64::from(chats.count * pace.to_each) / f64::from(pace.per_second);
    ensure!(
        took.as_secs_f64() < planned * 1.5 + 1.0,
        "the senders fell behind: {took:?} instead of {planned} s"
    );
    Ok(took)
}

/// The request that sends a chat's message of a number.
pub(crate) fn request(token: &str, chat: u32, number: u32) -> Result<Vec<u8>> {
    let input = json!({
        "chatId": chat_id(chat)?,
        "body": body(chat, number),
        "idempotencyKey": format!("{chat}-{number}"),
    });
    let variables = json!({ "input": input });
    Ok(post(
        token,
        &json!({ "query": SEND, "variables": variables }),
    ))
}

async fn send_one(
    client: &mut Client,
    token: &str,
    chat: u32,
    number: u32,
    tally: &Tally,
) -> Result<()> {
    let request = request(token, chat, number)?;
    tally.asks(chat, number)?;
    client.ask(&request, "\"userErrors\":[]").await?;
    tally.acknowledged(chat, number)
}
