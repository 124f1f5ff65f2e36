import t from 'tap'
import { slotKey, watermarkKey } from '../../../services/queue/keys.ts'

t.test('keys of our own share the slot of the queue', async (t) => {
  t.equal(watermarkKey('hokusai:model_ready_queue'), '{hokusai:model_ready_queue}:watermark')
  t.equal(slotKey('a:{tag}:b', 'claims'), 'a:{tag}:b:claims')
  t.equal(slotKey('a:{x:b', 'claims'), '{a:{x:b}:claims')
  t.equal(slotKey('a:{}:{tag}', 'claims'), '{a:{}:{tag}}:claims', 'an empty tag is none')
})
