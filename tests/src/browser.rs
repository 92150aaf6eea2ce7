//! A real browser, steered over its own protocol (Chrome DevTools Protocol).

use crate::skipped;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};

/// Longest wait for the browser to start, or for a page to become what it should.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    process: Child,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    /// What the page complained about: exceptions, errors on its console, what it could not load.
    pub complaints: Vec<String>,
}

impl Browser {
    /// Starts a browser that reaches nothing but this host; `None` where there is none and skipping is allowed.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(dir: &Path) -> Result<Option<Self>> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = names.iter().find_map(|name| {
            std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.exists())
        });
        let Some(program) = found else { return Ok(skipped("a browser: chromium")) };
        let process = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--remote-debugging-port=0", "--window-size=1400,1150"])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", dir.display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let (host, path) = listening(dir)?;
        let socket = connect(&format!("{host}{path}"))?;
        let mut browser = Self { process, socket, next_id: 0, complaints: Vec::new() };
        let targets = browser.call("Target.getTargets", &json!({}))?;
        let targets = targets["targetInfos"].as_array().cloned().unwrap_or_default();
        let page = targets.iter().find(|target| target["type"] == "page");
        let page = page.and_then(|page| page["targetId"].as_str()).context("the browser has no page")?;
        browser.socket = connect(&format!("{host}/devtools/page/{page}"))?;
        for domain in ["Runtime", "Log", "Page"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(Some(browser))
    }

    /// Opens an address.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn open(&mut self, url: &str) -> Result<()> {
        self.call("Page.navigate", &json!({"url": url})).map(|_| ())
    }

    /// The value of an expression in the page.
    ///
    /// # Errors
    ///
    /// When the browser does not answer, or the expression throws.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &parameters)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{expression}: {thrown}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Presses Enter where the cursor is.
    ///
    /// # Errors
    ///
    /// When the browser does not answer.
    pub fn enter(&mut self) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13,
            });
            self.call("Input.dispatchKeyEvent", &key)?;
        }
        Ok(())
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    ///
    /// When it does not become true in a minute.
    pub fn wait_for(&mut self, expression: &str) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.value(expression).is_ok_and(|value| value == true) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("waited a minute for {expression}; complaints: {:?}", self.complaints)
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        let request = json!({"id": id, "method": method, "params": parameters});
        self.socket.send(Message::text(request.to_string()))?;
        loop {
            let Message::Text(text) = self.socket.read()? else { continue };
            let message: Value = serde_json::from_str(&text)?;
            if message["id"] == id {
                return Ok(message["result"].clone());
            }
            self.listen(&message);
        }
    }

    fn listen(&mut self, message: &Value) {
        let parameters = &message["params"];
        let is_complaint = match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => parameters["type"] == "error" || parameters["type"] == "warning",
            "Log.entryAdded" => parameters["entry"]["level"] == "error",
            _ => false,
        };
        if is_complaint {
            self.complaints.push(parameters.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Host, port and path of the browser's own socket, which it writes down once it listens.
fn listening(dir: &Path) -> Result<(String, String)> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Ok(text) = std::fs::read_to_string(dir.join("DevToolsActivePort"))
            && let Some((port, path)) = text.trim().split_once('\n')
        {
            return Ok((format!("ws://127.0.0.1:{port}"), path.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("the browser did not start within a minute")
}

/// A socket whose reads end.
fn connect(url: &str) -> Result<WebSocket<MaybeTlsStream<TcpStream>>> {
    let (socket, _) = tungstenite::connect(url)?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    Ok(socket)
}
