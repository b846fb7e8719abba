/** Starts the page: styles, the connection, the app. */
import { mount } from 'svelte';
import './ui/tokens.css';
import './ui/base.css';
import './markdown/markdown.css';
import App from './App.svelte';
import { connection } from './chat/index.ts';
import { health } from './ui/index.ts';

connection.start();
void health.refresh();
mount(App, { target: document.getElementById('app') as HTMLElement });
